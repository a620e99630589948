#include "sightglass/elements/tensor_postproc_ultraface/tensor_postproc_ultraface.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

using test::tensor;

Frame outputs(bool boxes_first = false) {
  const Tensor scores = tensor<float>({1, 4, 2}, {.1f, .9f, .2f, .8f, .3f, .7f, .9f, .1f});
  const Tensor boxes =
      tensor<float>({1, 4, 4}, {.1f, .2f, .5f, .6f, .1f, .2f, .5f, .65f, .6f, .6f, .9f, .9f, 0, 0, 1, 1});
  return test::frame_of(boxes_first ? std::vector{boxes, scores} : std::vector{scores, boxes});
}

TEST(Ultraface, FacesComeBestFirstWithoutDuplicates) {
  for (bool boxes_first : {false, true}) {
    Frame frame = outputs(boxes_first);
    auto element = test::make<TransformInplace>("tensor_postproc_ultraface");
    ASSERT_TRUE(test::run(*element, frame));
    ASSERT_EQ(frame.regions.size(), 2u);  // 0.7 is the threshold, and kept
    EXPECT_FLOAT_EQ(frame.regions[0].confidence, .9f);
    EXPECT_FLOAT_EQ(frame.regions[0].box.x, .1f);
    EXPECT_FLOAT_EQ(frame.regions[0].box.w, .4f);
    EXPECT_FLOAT_EQ(frame.regions[1].confidence, .7f);
    EXPECT_EQ(frame.regions[0].label.view(), "face");
    EXPECT_EQ(frame.regions[0].label_id, 0);
  }
}

TEST(Ultraface, TheLabelMayHaveABackgroundInFront) {
  for (const char* labels : {"head", "background,head"}) {
    Frame frame = outputs();
    auto element = test::make<TransformInplace>("tensor_postproc_ultraface", {{"labels", labels}});
    ASSERT_TRUE(test::run(*element, frame));
    EXPECT_EQ(frame.regions[0].label.view(), "head");
    EXPECT_EQ(frame.regions[0].label_id, 0);
  }
  auto element = test::make<TransformInplace>("tensor_postproc_ultraface", {{"labels", "a,b,c"}});
  EXPECT_FALSE(element->start());
}

TEST(Ultraface, OtherShapesAreNamedInTheError) {
  Frame frame = test::frame_of({tensor<float>({1, 1, 6}, std::vector<float>(6))});
  auto element = test::make<TransformInplace>("tensor_postproc_ultraface");
  EXPECT_NE(test::message_of(test::run(*element, frame, {"out"})).find("out float32 1x1x6"),
            std::string::npos);
}

TEST(Ultraface, ScoresAndBoxesOfDifferentNumberAreAnError) {
  Frame frame = outputs();
  auto element = test::make<TransformInplace>("tensor_postproc_ultraface");
  ASSERT_TRUE(test::run(*element, frame));
  frame.tensors[1] = tensor<float>({1, 2, 4}, std::vector<float>(8));
  EXPECT_FALSE(element->process(frame));
}

TEST(Ultraface, WhatIsNotANumberIsLeftOut) {
  const float nan = std::nanf("");
  Frame frame = test::frame_of(
      {tensor<float>({1, 2, 2}, {0, nan, 0, 1}), tensor<float>({1, 2, 4}, {0, 0, 1, 1, 0, nan, 1, 1})});
  auto element = test::make<TransformInplace>("tensor_postproc_ultraface");
  ASSERT_TRUE(test::run(*element, frame));
  EXPECT_TRUE(frame.regions.empty());
}

TEST(Ultraface, AnotherOverlapThresholdKeepsMore) {
  Frame frame = outputs();
  auto element = test::make<TransformInplace>("tensor_postproc_ultraface",
                                              {{"iou-threshold", "0.95"}, {"threshold", "0.05"}});
  ASSERT_TRUE(test::run(*element, frame));
  EXPECT_EQ(frame.regions.size(), 4u);
}

}  // namespace
}  // namespace sightglass
