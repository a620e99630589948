#include "sightglass/elements/tensor_postproc_detection/tensor_postproc_detection.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdfloat>

#include "sightglass/core/allocation_count.h"
#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

using test::tensor;

std::unique_ptr<TransformInplace> decoder(const test::Settings& settings = {}) {
  return test::make<TransformInplace>("tensor_postproc_detection", settings);
}

// The regions that come out, as "label_id confidence x,y,w,h" in thousandths.
std::vector<std::string> decode(std::vector<Tensor> tensors, const test::Settings& settings = {},
                                int batch_index = 0, const std::vector<std::string>& names = {}) {
  Frame frame = test::frame_of(std::move(tensors));
  frame.source = SourceId{.batch_index = batch_index};
  auto element = decoder(settings);
  if (auto done = test::run(*element, frame, names); !done) return {done.error().message};
  std::vector<std::string> texts;
  const auto milli = [](float v) { return std::lround(v * 1000); };
  for (const Region& r : frame.regions)
    texts.push_back(std::format("{} {} {},{},{},{}", r.label_id, milli(r.confidence), milli(r.box.x),
                                milli(r.box.y), milli(r.box.w), milli(r.box.h)));
  return texts;
}
using Texts = std::vector<std::string>;

TEST(Detection, SsdRowsAreUnitBoxes) {
  // image, class, score, box
  EXPECT_EQ(decode({tensor<float>({1, 1, 3, 7}, {0, 1, .9f, .1f, .2f, .5f, .8f,  //
                                                 0, 2, .4f, .1f, .2f, .5f, .8f,  // below the threshold
                                                 0, 3, .6f, .0f, .0f, .5f, .5f})}),
            (Texts{"1 900 100,200,400,600", "3 600 0,0,500,500"}));
}

TEST(Detection, SsdRowsEndWithANegativeImage) {
  EXPECT_EQ(decode({tensor<float>({1, 1, 3, 7}, {0,  1, .9f, .1f, .2f, .5f, .8f,  //
                                                 -1, 1, .9f, .1f, .2f, .5f, .8f,  //
                                                 0,  1, .9f, .6f, .2f, .9f, .8f})}),
            (Texts{"1 900 100,200,400,600"}));
}

TEST(Detection, OnlyTheOwnSampleOfABatchIsRead) {
  const Tensor by_image = tensor<float>({1, 1, 2, 7}, {0, 1, .9f, .1f, .2f, .5f, .8f, 1, 2, .8f, 0, 0, 1, 1});
  EXPECT_EQ(decode({by_image}, {}, 0), (Texts{"1 900 100,200,400,600"}));
  EXPECT_EQ(decode({by_image}, {}, 1), (Texts{"2 800 0,0,1000,1000"}));
  const Tensor by_axis = tensor<float>({2, 1, 6}, {.1f, .2f, .5f, .8f, .9f, 1, 0, 0, 1, 1, .8f, 2});
  EXPECT_EQ(decode({by_axis}, {}, 0), (Texts{"1 900 100,200,400,600"}));
  EXPECT_EQ(decode({by_axis}, {}, 1), (Texts{"2 800 0,0,1000,1000"}));
}

TEST(Detection, PixelsAreDividedByTheInputSize) {
  // CenterNet: x1 y1 x2 y2 score class
  const Tensor rows = tensor<float>({1, 2, 6}, {51.2f, 102.4f, 256, 512, .9f, 1, 0, 0, 512, 256, .7f, 0});
  const Texts expected = {"1 900 100,200,400,800", "0 700 0,0,1000,500"};
  const test::Settings size = {{"input-width", "512"}, {"input-height", "512"}};
  EXPECT_EQ(decode({rows}, {size[0], size[1], {"box-units", "pixel"}}), expected);
  EXPECT_EQ(decode({rows}, size), expected);  // auto
}

TEST(Detection, TheUnitIsDecidedOnceAndNotByTheValuesOfABox) {
  // A small box in pixels, all of it below 2, and unit boxes that reach beyond the picture.
  EXPECT_EQ(decode({tensor<float>({1, 1, 6}, {0, 0, 1, 1, .9f, 0})},
                   {{"input-width", "10"}, {"input-height", "10"}}),
            (Texts{"0 900 0,0,100,100"}));
  EXPECT_EQ(decode({tensor<float>({1, 1, 6}, {0, 0, 3, 3, .9f, 0})},
                   {{"box-units", "unit"}, {"input-width", "10"}, {"input-height", "10"}}),
            (Texts{"0 900 0,0,3000,3000"}));
  EXPECT_EQ(decode({tensor<float>({1, 1, 7}, {0, 0, .9f, 0, 0, 1, 1})},
                   {{"input-width", "10"}, {"input-height", "10"}}),
            (Texts{"0 900 0,0,1000,1000"}));
}

TEST(Detection, PixelsWithoutASizeNameTheProperty) {
  const Texts error = decode({tensor<float>({1, 1, 6}, {0, 0, 1, 1, .9f, 0})}, {{"box-units", "pixel"}});
  ASSERT_EQ(error.size(), 1u);
  EXPECT_NE(error[0].find("input-width"), std::string::npos);
}

TEST(Detection, AScoreEqualToTheThresholdIsKept) {
  // 0.7 and 0.3 as floats lie on different sides of the doubles.
  for (const char* threshold : {"0.7", "0.3"}) {
    const float score = std::stof(threshold);
    EXPECT_EQ(decode({tensor<float>({1, 1, 6}, {0, 0, 1, 1, score, 0})}, {{"threshold", threshold}}).size(),
              1u);
    EXPECT_EQ(decode({tensor<float>({1, 1, 6}, {0, 0, 1, 1, std::nextafter(score, 0.0f), 0})},
                     {{"threshold", threshold}})
                  .size(),
              0u);
  }
}

TEST(Detection, SuppressesOnlyWhenAskedTo) {
  const Tensor rows = tensor<float>({1, 2, 6}, {0, 0, 1, 1, .8f, 0, 0, 0, 1, .9f, .9f, 0});
  EXPECT_EQ(decode({rows}).size(), 2u);
  EXPECT_EQ(decode({rows}, {{"iou-threshold", "0.5"}}), (Texts{"0 900 0,0,1000,900"}));
}

TEST(Detection, FiveColumnsWithLabels) {
  const Tensor boxes = tensor<float>({1, 2, 5}, {1, 2, 5, 8, .9f, 0, 0, 10, 10, .8f});
  const Tensor labels = tensor<int64_t>({1, 2}, {4, 2});
  const test::Settings size = {{"input-width", "10"}, {"input-height", "10"}};
  EXPECT_EQ(decode({boxes, labels}, size, 0, {"boxes", "labels"}),
            (Texts{"4 900 100,200,400,600", "2 800 0,0,1000,1000"}));
  EXPECT_EQ(decode({labels, boxes}, size, 0, {"b", "a"}),
            (Texts{"4 900 100,200,400,600", "2 800 0,0,1000,1000"}));
}

TEST(Detection, RowsWithoutAnAxisOfSamples) {
  EXPECT_EQ(decode({tensor<float>({2, 5}, {.1f, .2f, .5f, .8f, .9f, 0, 0, 1, 1, .8f}),
                    tensor<int64_t>({2}, {4, 2})}),
            (Texts{"4 900 100,200,400,600", "2 800 0,0,1000,1000"}));
}

TEST(Detection, BoxesLabelsAndScoresInTensorsOfTheirOwn) {
  const Tensor boxes = tensor<float>({1, 2, 4}, {.1f, .2f, .5f, .8f, 0, 0, 1, 1});
  EXPECT_EQ(decode({boxes, tensor<float>({1, 2}, {4, 2}), tensor<float>({1, 2}, {.9f, .8f})}, {}, 0,
                   {"boxes", "labels", "scores"}),
            (Texts{"4 900 100,200,400,600", "2 800 0,0,1000,1000"}));
}

TEST(Detection, AScorePerClassPicksTheBestButTheBackground) {
  const Tensor boxes = tensor<float>({1, 2, 4}, {.1f, .2f, .5f, .8f, 0, 0, 1, 1});
  const Tensor scores = tensor<float>({1, 2, 3}, {.7f, .1f, .6f, .9f, .3f, .2f});
  EXPECT_EQ(decode({boxes, scores}, {}, 0, {"boxes", "scores"}),
            (Texts{"0 900 0,0,1000,1000", "0 700 100,200,400,600"}));
  EXPECT_EQ(decode({boxes, scores}, {{"labels", "background,cat,dog"}}, 0, {"boxes", "scores"}),
            (Texts{"2 600 100,200,400,600"}));
}

TEST(Detection, TheBackgroundClassIsLeftOut) {
  const Tensor rows = tensor<float>({1, 2, 6}, {0, 0, 1, 1, .9f, 0, 0, 0, 1, 1, .8f, 1});
  EXPECT_EQ(decode({rows}, {{"labels", "__background__,cat"}}), (Texts{"1 800 0,0,1000,1000"}));
}

TEST(Detection, NamedColumnsAndCentres) {
  // score, something, cx cy w h, class
  const Tensor rows = tensor<float>({1, 1, 8}, {.9f, 77, .5f, .5f, .2f, .4f, 3, 0});
  EXPECT_EQ(
      decode(
          {rows},
          {{"box-offset", "2"}, {"confidence-offset", "0"}, {"label-offset", "6"}, {"box-format", "cxcywh"}}),
      (Texts{"3 900 400,300,200,400"}));
  EXPECT_NE(decode({rows}, {{"box-offset", "6"}, {"confidence-offset", "0"}})[0].find("box-offset=6"),
            std::string::npos);
}

TEST(Detection, AnUnknownLayoutIsNamedInTheError) {
  const Texts error = decode({tensor<float>({1, 2, 9}, std::vector<float>(18))}, {}, 0, {"out"});
  ASSERT_EQ(error.size(), 1u);
  EXPECT_NE(error[0].find("out float32 1x2x9"), std::string::npos) << error[0];
  EXPECT_NE(decode({tensor<float>({6}, std::vector<float>(6))})[0].find("float32 6"), std::string::npos);
  EXPECT_NE(decode({tensor<float>({1, 2, 4}, std::vector<float>(8))})[0].find("no tensor has scores"),
            std::string::npos);
  EXPECT_NE(decode({tensor<float>({1, 1, 6}, std::vector<float>(6))}, {{"label-index", "3"}})[0].find(
                "label-index=3"),
            std::string::npos);
}

TEST(Detection, TensorsThatDoNotFitTogetherAreAnError) {
  Frame agreed =
      test::frame_of({tensor<float>({1, 2, 5}, std::vector<float>(10)), tensor<int64_t>({1, 2}, {4, 2})});
  auto element = decoder();
  ASSERT_TRUE(test::run(*element, agreed));
  Frame other =
      test::frame_of({tensor<float>({1, 2, 5}, std::vector<float>(10)), tensor<int64_t>({1, 3}, {4, 2, 2})});
  EXPECT_FALSE(element->process(other));
  Frame missing = test::frame_of({tensor<float>({1, 2, 5}, std::vector<float>(10))});
  EXPECT_FALSE(element->process(missing));
  Frame shapeless = test::frame_of({tensor<float>({}, {1}), tensor<int64_t>({1, 2}, {4, 2})});
  EXPECT_FALSE(element->process(shapeless));
}

TEST(Detection, WhatIsNotANumberIsLeftOut) {
  const float nan = std::nanf(""), inf = INFINITY;
  EXPECT_EQ(decode({tensor<float>({1, 5, 6}, {nan, 0, 1,   1, .9f, 0,    //
                                              0,   0, 1,   1, nan, 0,    //
                                              0,   0, 1,   1, .9f, nan,  //
                                              0,   0, inf, 1, .9f, 0,    //
                                              0,   0, 1,   1, inf, 0})}),
            (Texts{}));
}

TEST(Detection, NoRowsAreNoObjects) { EXPECT_EQ(decode({tensor<float>({1, 1, 0, 7}, {})}), (Texts{})); }

TEST(Detection, HalfPrecisionIsRead) {
  std::vector<std::float16_t> row;
  for (float v : {.25f, .5f, .75f, 1.f, .5f, 3.f}) row.push_back(std::float16_t(v));
  EXPECT_EQ(decode({tensor<std::float16_t>({1, 1, 6}, row, DataType::f16)}),
            (Texts{"3 500 250,500,500,500"}));
}

TEST(Detection, KeepsTheBestOfTooMany) {
  std::vector<float> rows;
  for (int i = 0; i < 2000; ++i) rows.insert(rows.end(), {0, 0, 1, 1, .5f + float(i) / 4000, 0});
  const Texts texts = decode({tensor<float>({1, 2000, 6}, rows)});
  EXPECT_EQ(texts.size(), max_frame_objects);
  EXPECT_EQ(texts[0], "0 1000 0,0,1000,1000");
}

TEST(Detection, LabelsAndModelAreNoted) {
  Frame frame = test::frame_of({tensor<float>({1, 1, 6}, {0, 0, 1, 1, .9f, 1})});
  auto element = decoder({{"labels", "<cat,dog>"}});
  ASSERT_TRUE(test::run(*element, frame));
  EXPECT_EQ(frame.regions[0].label.view(), "dog");
  EXPECT_EQ(frame.regions[0].model.view(), "model");
}

TEST(Detection, TheThresholdMayChangeWhileFramesFlow) {
  const ElementDesc& desc = *find_element("tensor_postproc_detection");
  ParamSet params(desc.params);
  auto element = decoder();
  Frame frame = test::frame_of({tensor<float>({1, 1, 6}, {0, 0, 1, 1, .4f, 1})});
  ASSERT_TRUE(test::run(*element, frame));
  EXPECT_TRUE(frame.regions.empty());
  ASSERT_TRUE(params.set_text("threshold", "0.4"));
  element->update(params);
  ASSERT_TRUE(element->process(frame));
  EXPECT_EQ(frame.regions.size(), 1u);
}

TEST(Detection, NeedsTensors) {
  auto element = decoder();
  EXPECT_FALSE(element->configure({}, {}));
}

TEST(Detection, DoesNotAllocateOnceWarm) {
  auto element = decoder({{"iou-threshold", "0.5"}, {"labels", "a,b"}});
  Frame frame = test::frame_of({tensor<float>({1, 2, 6}, {0, 0, 1, 1, .8f, 0, 0, 0, .5f, .5f, .9f, 1})});
  ASSERT_TRUE(test::run(*element, frame));
  const size_t before = allocation_count();
  for (int i = 0; i < 3; ++i) {
    frame.regions.clear();
    ASSERT_TRUE(element->process(frame));
  }
  EXPECT_EQ(allocation_count(), before);
  EXPECT_EQ(frame.regions.size(), 2u);
}

}  // namespace
}  // namespace sightglass
