#include <gmock/gmock.h>

#include <cmath>
#include <numbers>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

struct Warped {
  std::string error;
  Frame frame;
};

Warped warp(const Frame& frame, const test::Settings& settings) {
  auto element = test::make<Transform>("opencv_warp_affine", settings);
  const Format format = test::format_of_picture(frame);
  test::Collected out(format);
  if (auto started = element->start(); !started) return {started.error().message, {}};
  if (auto configured = element->configure(format, format); !configured)
    return {configured.error().message, {}};
  if (auto done = element->process(frame, out); !done) return {done.error().message, {}};
  return {"", out.frame(0)};
}

int at(const Frame& frame, int x, int y, size_t plane = 0, int byte = 0) {
  auto mapping = map(frame.tensors[plane], Access::read).value();
  const int step = plane_layout(frame.video->format, plane).pixel_bytes;
  return mapping.row<uint8_t>(y)[x * step + byte];
}

// White in the middle of the right edge, else grey.
Frame marked(PixelFormat format, int width = 64, int height = 64) {
  Frame frame = test::picture(format, width, height, 4);
  test::fill(frame, [&](int plane, int y, int x) {
    const auto layout = plane_layout(format, size_t(plane));
    const int px = (x / layout.pixel_bytes) << layout.shift_x, py = y << layout.shift_y;
    return px >= width - 16 && py >= height / 2 - 8 && py < height / 2 + 8 ? 250 : 100;
  });
  return frame;
}

TEST(WarpAffine, TurnsCounterClockwiseForPositiveAnglesInEveryFormat) {
  for (const PixelFormat format : all_8_bit_formats()) {
    const Warped made = warp(marked(format), {{"angle", "90"}, {"angle-unit", "degrees"}});
    ASSERT_EQ(made.error, "") << to_string(format);
    for (size_t plane = 0; plane < plane_count(format); ++plane) {
      const int width = plane_width(*made.frame.video, plane),
                height = plane_height(*made.frame.video, plane);
      // What was right is up.
      EXPECT_NEAR(at(made.frame, width / 2, 1, plane), 250, 2) << to_string(format) << " " << plane;
      EXPECT_NEAR(at(made.frame, width / 2, height - 2, plane), 100, 2) << to_string(format);
      EXPECT_NEAR(at(made.frame, width - 2, height / 2, plane), 100, 2) << to_string(format);
    }
  }
}

TEST(WarpAffine, TakesRadiansUnlessToldOtherwise) {
  const Warped made = warp(marked(PixelFormat::gray8), {{"angle", "-1.5707963267948966"}});
  EXPECT_NEAR(at(made.frame, 32, 62), 250, 2) << "clockwise: right goes down";
}

TEST(WarpAffine, KeepsTheSizeAndFillsWithBlack) {
  const Warped made = warp(marked(PixelFormat::i420, 64, 32), {{"angle", "45"}, {"angle-unit", "degrees"}});
  EXPECT_EQ(made.frame.video->width, 64);
  EXPECT_EQ(made.frame.video->height, 32);
  EXPECT_EQ(at(made.frame, 0, 0), 16);
  EXPECT_EQ(at(made.frame, 0, 0, 1), 128);
}

TEST(WarpAffine, WritesTheMatrixThatLeadsBackToTheOriginal) {
  Frame frame = marked(PixelFormat::bgr, 64, 32);
  frame.affine = Affine{{0.5, 0, 0.25, 0, 1, 0}};  // it was cut out of a wider picture
  const Warped made = warp(frame, {{"angle", "90"}, {"angle-unit", "degrees"}});
  ASSERT_TRUE(made.frame.affine);
  // The upper edge's middle comes from 16 pixels right of the centre: a quarter of the width further.
  const Box point = apply(*made.frame.affine, Box{0.5f, 0, 0, 0});
  EXPECT_NEAR(point.x, 0.25 + 0.5 * 0.75, 1e-6);
  EXPECT_NEAR(point.y, 0.5, 1e-6);
}

TEST(WarpAffine, TurnsTheObjectsAlong) {
  Frame frame = marked(PixelFormat::gray8);
  frame.regions = {{.box = {0.8f, 0.4f, 0.1f, 0.2f}}};
  const Warped made = warp(frame, {{"angle", "90"}, {"angle-unit", "degrees"}});
  const Region& region = made.frame.regions.at(0);
  EXPECT_NEAR(region.box.x + region.box.w / 2, 0.5, 1e-5);
  EXPECT_NEAR(region.box.y + region.box.h / 2, 0.15, 1e-5);
  EXPECT_NEAR(region.angle, -std::numbers::pi / 2, 1e-5) << "angles of regions are clockwise";
  // And back by the matrix.
  const Box centre =
      apply(*made.frame.affine, Box{region.box.x + region.box.w / 2, region.box.y + region.box.h / 2, 0, 0});
  EXPECT_NEAR(centre.x, 0.85, 1e-5);
  EXPECT_NEAR(centre.y, 0.5, 1e-5);
}

TEST(WarpAffine, KeepsRightAnglesWherePixelsAreNotSquare) {
  Frame frame = marked(PixelFormat::gray8);
  frame.video->pixel_aspect = {2, 1};
  const Warped made = warp(frame, {{"angle", "90"}, {"angle-unit", "degrees"}});
  // 32 pixels to the right are 64 rows: the mark leaves the picture, what was half as far lies at the edge.
  const Box point = apply(*made.frame.affine, Box{0.5f, 0, 0, 0});
  EXPECT_NEAR(point.x, 0.75, 1e-6);
}

TEST(WarpAffine, OfNothingIsTheSamePictureWithoutAMatrix) {
  const Frame frame = marked(PixelFormat::rgbx);
  const Warped made = warp(frame, {});
  EXPECT_FALSE(made.frame.affine);
  EXPECT_EQ(test::values_of<uint8_t>(made.frame.tensors[0]), test::values_of<uint8_t>(frame.tensors[0]));
}

TEST(WarpAffine, RefusesAnotherSizeAndTensors) {
  auto element = test::make<Transform>("opencv_warp_affine");
  EXPECT_TRUE(element->transform_format(Direction::input, {TensorsSpec{}}).empty());
  EXPECT_FALSE(element->configure(test::format_of_picture(marked(PixelFormat::bgr, 64, 64)),
                                  test::format_of_picture(marked(PixelFormat::bgr, 32, 64))));
}

}  // namespace
}  // namespace sightglass
