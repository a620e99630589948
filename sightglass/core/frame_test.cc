#include "sightglass/core/frame.h"

#include <gtest/gtest.h>

#include <cmath>

namespace sightglass {
namespace {

void expect_box(const Box& box, const Box& wanted) {
  EXPECT_NEAR(box.x, wanted.x, 1e-6);
  EXPECT_NEAR(box.y, wanted.y, 1e-6);
  EXPECT_NEAR(box.w, wanted.w, 1e-6);
  EXPECT_NEAR(box.h, wanted.h, 1e-6);
}

// A crop: the part at x, y of size w, h becomes 0..1.
Affine crop(double x, double y, double w, double h) { return {{w, 0, x, 0, h, y}}; }

TEST(Affine, ChangesNothingByDefault) {
  EXPECT_TRUE(Affine{}.identity());
  const Box box{0.1f, 0.2f, 0.3f, 0.4f};
  expect_box(apply({}, box), box);
}

TEST(Affine, JoinsACropOfACrop) {
  // The inner crop is found within the outer one, so a point goes through the inner first.
  const Affine both = concat(crop(0.5, 0, 0.5, 1), crop(0.2, 0.4, 0.5, 0.5));
  expect_box(apply(both, {0, 0, 1, 1}), {0.45f, 0.4f, 0.25f, 0.5f});
  EXPECT_EQ(concat({}, both), both);
  EXPECT_EQ(concat(both, {}), both);
}

TEST(Affine, ConcatIsOneAfterTheOther) {
  const Affine first{{0.3, 0.1, 0.2, 0, 0.6, 0.1}}, then{{0.5, 0, 0.25, 0, 0.5, 0.1}};
  const Box box{0.2f, 0.3f, 0.1f, 0.2f};
  expect_box(apply(concat(first, then), box), apply(then, apply(first, box)));
}

TEST(Affine, GivesTheBoundingBoxOfARotation) {
  const double c = std::cos(M_PI / 4), s = std::sin(M_PI / 4);
  expect_box(apply({{c, -s, 0, s, c, 0}}, {0, 0, 1, 1}), {float(-s), 0, float(2 * s), float(2 * s)});
  // Half a turn about the centre: the box keeps its size.
  expect_box(apply({{-1, 0, 1, 0, -1, 1}}, {0.1f, 0.2f, 0.3f, 0.4f}), {0.6f, 0.4f, 0.3f, 0.4f});
}

TEST(Frame, ClearForgetsEverythingButItsRoom) {
  Frame frame;
  frame.video = VideoInfo{};
  frame.tensors.resize(3);
  frame.pts = 5, frame.duration = 6;
  frame.crop = Crop{1, 2, 3, 4};
  frame.affine = Affine{};
  frame.source = SourceId{};
  frame.regions.resize(20);
  frame.attributes = with(nullptr, {});
  frame.json = std::string(1000, 'x');
  const size_t room = frame.json.capacity();
  frame.clear();
  EXPECT_FALSE(frame.video || frame.crop || frame.affine || frame.source || frame.attributes);
  EXPECT_EQ(frame.pts, no_time);
  EXPECT_EQ(frame.duration, no_time);
  EXPECT_TRUE(frame.tensors.empty() && frame.regions.empty() && frame.json.empty());
  EXPECT_GE(frame.tensors.capacity(), 3u);
  EXPECT_GE(frame.regions.capacity(), 20u);
  EXPECT_EQ(frame.json.capacity(), room);
}

}  // namespace
}  // namespace sightglass
