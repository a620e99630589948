// Logits of the detection transformers, and masks of instances.
#include <gtest/gtest.h>

#include "sightglass/elements/detection/decoder_test_support.h"

namespace sightglass {
namespace {

using test::tensor;
using test::Texts;
using Names = std::vector<std::string>;

Texts texts(std::vector<Tensor> tensors, const test::Settings& settings, const Names& names,
            int batch_index = 0) {
  return test::decode_texts("tensor_postproc_detection", std::move(tensors), settings, batch_index, names);
}
test::Decoded decode(std::vector<Tensor> tensors, const test::Settings& settings, const Names& names) {
  return test::decode("tensor_postproc_detection", std::move(tensors), settings, 0, names);
}
float logit(float p) { return std::log(p / (1 - p)); }

const test::Settings input_size = {{"input-width", "100"}, {"input-height", "50"}};

TEST(DetectionTransformers, LogitsAreSigmoidsAndBoxesCentres) {
  // RT-DETR: a score for each class and no background. Two queries.
  const Tensor logits = tensor<float>({1, 2, 3}, {-9, logit(.9f), -9, logit(.2f), -9, logit(.8f)});
  const Tensor boxes = tensor<float>({1, 2, 4}, {.5f, .5f, .2f, .4f, .25f, .25f, .5f, .5f});
  const Texts expected = {"1 900 400,300,200,400", "2 800 0,0,500,500"};
  EXPECT_EQ(texts({logits, boxes}, input_size, {"logits", "pred_boxes"}), expected);
  EXPECT_EQ(texts({boxes, logits}, input_size, {"dets", "labels"}), expected);  // RF-DETR
  EXPECT_EQ(texts({boxes, logits}, {{"labels", "a,b,c"}}, {"dets", "labels"}), expected);
}

TEST(DetectionTransformers, TheLastClassOfDetrIsNone) {
  // The second query is sure of nothing, the third of a class.
  const Tensor logits = tensor<float>({1, 3, 3}, {0, 2, 0, 1, 1, 9, 5, 0, 0});
  const Tensor boxes =
      tensor<float>({1, 3, 4}, {.5f, .5f, .2f, .4f, .5f, .5f, .1f, .1f, .25f, .25f, .5f, .5f});
  const float first = std::exp(2.f) / (std::exp(2.f) + 2), third = std::exp(5.f) / (std::exp(5.f) + 2);
  const Texts expected = {std::format("0 {} 0,0,500,500", test::milli(third)),
                          std::format("1 {} 400,300,200,400", test::milli(first))};
  EXPECT_EQ(texts({logits, boxes}, {{"labels", "cat,dog"}}, {"logits", "pred_boxes"}), expected);
  EXPECT_EQ(texts({logits, boxes}, {{"activation", "softmax"}}, {"a", "pred_boxes"}).size(), 2u);
  // Named, it may stand anywhere.
  const Tensor turned = tensor<float>({1, 1, 3}, {9, 5, 1});
  EXPECT_EQ(texts({turned, tensor<float>({1, 1, 4}, {.5f, .5f, 1, 1})},
                  {{"labels", "background,cat,dog"}, {"threshold", "0"}}, {"logits", "pred_boxes"})
                .size(),
            1u);
}

TEST(DetectionTransformers, RowsOfABoxAndAScorePerClass) {
  std::vector<float> rows(2 * 9, 0.f);
  const std::vector<float> row = {.5f, .5f, .2f, .4f, 0, .1f, .9f};
  std::ranges::copy(row, rows.begin() + 9);
  const Tensor out = tensor<float>({1, 2, 9}, rows);
  auto settings = input_size;
  settings.push_back({"labels", "a,b,c,d,e"});
  EXPECT_EQ(texts({out}, settings, {"output0"}), (Texts{"2 900 400,300,200,400"}));
  EXPECT_EQ(texts({out}, {{"box-format", "cxcywh"}}, {"output0"}), (Texts{"2 900 400,300,200,400"}));
  EXPECT_NE(texts({out}, {}, {"output0"})[0].find("output0 float32 1x2x9"), std::string::npos);
}

TEST(DetectionTransformers, WhatIsNotANumberIsLeftOut) {
  const float nan = std::nanf("");
  const Tensor logits = tensor<float>({1, 3, 2}, {nan, nan, nan, 3, 5, 5});
  const Tensor boxes = tensor<float>({1, 3, 4}, {.5f, .5f, .2f, .4f, .5f, .5f, .2f, .4f, nan, .5f, .2f, .4f});
  EXPECT_EQ(texts({logits, boxes}, {}, {"logits", "pred_boxes"}).size(), 1u);
}

// Two objects: boxes in pixels of 100×50, classes 1 and 0.
const Tensor boxes = tensor<float>({2, 5}, {10, 5, 30, 25, .9f, 50, 0, 100, 50, .8f});
const Tensor labels = tensor<int64_t>({2}, {1, 0});

TEST(DetectionMasks, AMaskPerBoxCoversIt) {
  const Tensor masks = tensor<float>({2, 2, 2}, {.9f, .1f, .5f, 0, 0, 0, 1, 1});
  const auto decoded = decode({boxes, labels, masks}, input_size, {"boxes", "labels", "masks"});
  ASSERT_EQ(decoded.frame.regions.size(), 2u) << decoded.error;
  EXPECT_EQ(test::mask_of(decoded.frame.regions[0]), (Texts{"100,100,200,400", "#.", "#."}));
  EXPECT_EQ(test::mask_of(decoded.frame.regions[1]), (Texts{"500,0,500,1000", "..", "##"}));
}

TEST(DetectionMasks, AMaskPerClassIsChosenByTheClass) {
  const Tensor masks = tensor<float>({2, 2, 1, 2}, {0, 0, 1, 0, 0, 1, 0, 0});
  for (const test::Settings& settings :
       {input_size, test::Settings{{"input-width", "100"}, {"input-height", "50"}, {"mask-index", "2"}}}) {
    const auto decoded = decode({boxes, labels, masks}, settings, {"boxes", "labels", "masks"});
    ASSERT_EQ(decoded.frame.regions.size(), 2u) << decoded.error;
    EXPECT_EQ(test::mask_of(decoded.frame.regions[0])[1], "#.");
    EXPECT_EQ(test::mask_of(decoded.frame.regions[1])[1], ".#");
  }
}

TEST(DetectionMasks, ClassesOfSsdRowsBeginWithOne) {
  // Mask R-CNN of OpenVINO: rows of seven, masks of two classes.
  const Tensor rows = tensor<float>({2, 7}, {0, 1, .9f, 0, 0, 1, 1, 0, 2, .8f, 0, 0, .5f, .5f});
  const Tensor masks = tensor<float>({2, 2, 1, 2}, {1, 0, 0, 0, 0, 0, 0, 1});
  for (const char* names : {"", "background,cat,dog"}) {
    const auto decoded = decode({rows, masks}, {{"labels", names}}, {"detections", "masks"});
    ASSERT_EQ(decoded.frame.regions.size(), 2u) << decoded.error;
    EXPECT_EQ(test::mask_of(decoded.frame.regions[0])[1], "#.");
    EXPECT_EQ(test::mask_of(decoded.frame.regions[1])[1], ".#");
  }
}

TEST(DetectionMasks, MasksOfTheWholeInputAreCutToTheBox) {
  // A grid of 10×20 cells, 5 pixels each; the first object lies on the cells 2..5 × 1..4.
  std::vector<float> values(2 * 10 * 20, 0.f);
  for (int x = 0; x < 20; ++x) values[size_t(2 * 20 + x)] = 1;
  const Tensor masks = tensor<float>({2, 1, 10, 20}, values);
  // By its size, or because it is said.
  for (const test::Settings& settings :
       {test::Settings{{"input-width", "80"}, {"input-height", "40"}, {"box-units", "unit"}},
        test::Settings{{"box-units", "unit"}, {"mask-extent", "input"}}}) {
    const Tensor units = tensor<float>({2, 5}, {.1f, .1f, .3f, .5f, .9f, .5f, 0, 1, 1, .8f});
    const auto decoded = decode({units, labels, masks}, settings, {"boxes", "labels", "masks"});
    ASSERT_EQ(decoded.frame.regions.size(), 2u) << decoded.error;
    EXPECT_EQ(test::mask_of(decoded.frame.regions[0]),
              (Texts{"100,100,200,400", "....", "####", "....", "...."}));
  }
}

TEST(DetectionMasks, FineMasksAreThinnedOut) {
  const int side = 400;
  std::vector<float> values(size_t(side * side), 1.f);
  const Tensor masks = tensor<float>({1, side, side}, values);
  const auto decoded = decode({tensor<float>({1, 5}, {0, 0, 1, 1, .9f}), tensor<int64_t>({1}, {0}), masks},
                              {{"mask-extent", "input"}}, {"boxes", "labels", "masks"});
  ASSERT_EQ(decoded.frame.regions.size(), 1u) << decoded.error;
  const Attribute* mask = decoded.frame.regions[0].attributes->find("mask");
  EXPECT_EQ(mask->tensor.shape, (Shape{134, 134}));
  EXPECT_FLOAT_EQ(mask->values[2], 402.f / 400);  // three cells for each, the last not quite full
}

TEST(DetectionMasks, WrongShapesAreAnError) {
  const auto decoded =
      decode({boxes, labels, tensor<float>({3, 2, 2}, std::vector<float>(12))},
             {{"input-width", "100"}, {"input-height", "50"}, {"mask-index", "2"}}, {"boxes", "labels", "m"});
  EXPECT_NE(decoded.error.find("3x2x2"), std::string::npos) << decoded.error;
  EXPECT_NE(decode({boxes, labels}, {{"mask-index", "2"}}, {"boxes", "labels"}).error.find("mask-index=2"),
            std::string::npos);
}

TEST(DetectionMasks, WhatIsNotANumberIsNoPartOfTheObject) {
  const Tensor masks = tensor<float>({2, 1, 2}, {std::nanf(""), 7, -3, INFINITY});
  const auto decoded = decode({boxes, labels, masks}, input_size, {"boxes", "labels", "masks"});
  ASSERT_EQ(decoded.frame.regions.size(), 2u) << decoded.error;
  EXPECT_EQ(test::values_of<float>(decoded.frame.regions[0].attributes->find("mask")->tensor),
            (std::vector<float>{0, 1}));
  EXPECT_EQ(test::values_of<float>(decoded.frame.regions[1].attributes->find("mask")->tensor),
            (std::vector<float>{0, 1}));
}

}  // namespace
}  // namespace sightglass
