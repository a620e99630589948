#include "sightglass/core/frame_join.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace sightglass {
namespace {

Region at(Box box) {
  Region region;
  region.box = box;
  region.confidence = 0.5f;
  return region;
}

TEST(FrameJoin, MovesBoxesByTheMatrixAndClipsThem) {
  Frame frame, result;
  result.affine =
      Affine{{1, 0, 0, 0, 2, -0.5}};  // letterbox: the picture fills the middle half of the model input
  result.regions = {at({0.25f, 0.25f, 0.5f, 0.25f}), at({0.5f, 0, 0.75f, 1})};
  EXPECT_TRUE(join(result, Label("net"), {}, frame));
  ASSERT_EQ(frame.regions.size(), 2u);
  EXPECT_EQ(frame.regions[0].box, (Box{0.25f, 0, 0.5f, 0.5f}));
  EXPECT_EQ(frame.regions[1].box, (Box{0.5f, 0, 0.5f, 1}));
  EXPECT_EQ(frame.regions[0].model, Label("net"));
  EXPECT_EQ(frame.regions[0].id, -1);
}

TEST(FrameJoin, TurnsBoxesOfARotatedPicture) {
  Frame frame, result;
  frame.video = VideoInfo{.width = 200, .height = 100};
  // The picture was turned by 30 degrees about its centre: a point of it lies where the matrix says.
  const double c = std::cos(std::numbers::pi / 6), s = std::sin(std::numbers::pi / 6);
  result.affine = Affine{{c, -s / 2, 0.5 - c / 2 + s / 4, 2 * s, c, 0.5 - s - c / 2}};
  result.regions = {at({0.4f, 0.4f, 0.2f, 0.2f})};
  EXPECT_TRUE(join(result, Label("net"), {}, frame));
  ASSERT_EQ(frame.regions.size(), 1u);
  const Region& region = frame.regions[0];
  EXPECT_NEAR(region.angle, std::numbers::pi / 6, 1e-6);
  EXPECT_NEAR(region.box.x, 0.4, 1e-6);  // about the same centre, and as large as before
  EXPECT_NEAR(region.box.y, 0.4, 1e-6);
  EXPECT_NEAR(region.box.w, 0.2, 1e-6);
  EXPECT_NEAR(region.box.h, 0.2, 1e-6);
}

TEST(FrameJoin, LeavesBoxesUprightAfterAQuarterTurn) {
  Frame frame, result;
  frame.video = VideoInfo{.width = 200, .height = 100};
  result.affine = Affine{{0, -1, 1, 1, 0, 0}};
  result.regions = {at({0.25f, 0.5f, 0.5f, 0.25f})};
  EXPECT_TRUE(join(result, Label("net"), {}, frame));
  EXPECT_EQ(frame.regions[0].angle, 0);
  EXPECT_EQ(frame.regions[0].box, (Box{0.25f, 0.25f, 0.25f, 0.5f}));
}

TEST(FrameJoin, MovesPointsAndMasksAlong) {
  Frame frame, result;
  result.affine = Affine{{0.5, 0, 0.25, 0, 0.5, 0.5}};
  result.attributes = with(
      nullptr, {.name = Label("pose"), .kind = AttributeKind::keypoints, .values = {0, 0, 1, -1, -1, 0}});
  result.attributes = with(result.attributes, {.name = Label("mask"), .kind = AttributeKind::mask});
  EXPECT_TRUE(join(result, Label("net"), {}, frame));
  // A point that was not found stays so.
  EXPECT_EQ(frame.attributes->find("pose")->values, (std::vector<float>{0.25f, 0.5f, 1, -1, -1, 0}));
  EXPECT_EQ(frame.attributes->find("mask")->values, (std::vector<float>{0.25f, 0.5f, 0.5f, 0.5f}));
}

TEST(FrameJoin, GivesAttributesToTheRegionThatWasTheInput) {
  Frame frame, result;
  frame.regions = {at({0, 0, 1, 1}), at({0, 0, .5f, .5f})};
  frame.regions[0].id = 0, frame.regions[1].id = 4;
  result.source = SourceId{.roi = 0};  // 0 is a real object
  result.attributes =
      with(nullptr, {.name = Label("mood"), .kind = AttributeKind::classification, .text = "glad"});
  EXPECT_TRUE(join(result, Label("net"), {}, frame));
  ASSERT_TRUE(frame.regions[0].attributes);
  EXPECT_EQ(frame.regions[0].attributes->find("mood")->model, Label("net"));
  EXPECT_FALSE(frame.regions[1].attributes);
  EXPECT_FALSE(frame.attributes);
}

TEST(FrameJoin, MakesWhatIsFoundInARegionItsChild) {
  Frame frame, result;
  frame.regions = {at({0.5f, 0.5f, 0.5f, 0.5f})};
  frame.regions[0].id = 3;
  result.source = SourceId{.roi = 3};
  result.affine = Affine{{0.5, 0, 0.5, 0, 0.5, 0.5}};
  result.regions = {at({0, 0, 0.5f, 0.5f})};
  EXPECT_TRUE(join(result, Label("net"), {}, frame));
  ASSERT_EQ(frame.regions.size(), 2u);
  EXPECT_EQ(frame.regions[1].parent, 3);
  EXPECT_EQ(frame.regions[1].box, (Box{0.5f, 0.5f, 0.25f, 0.25f}));
}

TEST(FrameJoin, KeepsRawTensorsUnderTheirNames) {
  Frame frame, result;
  result.tensors = {Tensor{.shape = {1, 2}, .strides = {8, 4}}};
  const TensorsInfo info{{{.shape = {1, 2}, .strides = {}, .name = "probs"}}, "net"};
  EXPECT_TRUE(join(result, Label("net"), tensor_names(info), frame));
  ASSERT_TRUE(frame.attributes);
  const auto* raw = frame.attributes->find("net/probs");
  ASSERT_NE(raw, nullptr);
  EXPECT_EQ(raw->tensor.shape, (Shape{1, 2}));
}

TEST(FrameJoin, DropsTheResultOfARegionThatIsGone) {
  Frame frame, result;
  result.source = SourceId{.roi = 9};
  EXPECT_FALSE(join(result, Label("net"), {}, frame));
}

}  // namespace
}  // namespace sightglass
