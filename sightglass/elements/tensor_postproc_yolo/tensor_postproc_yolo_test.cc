#include "sightglass/elements/tensor_postproc_yolo/tensor_postproc_yolo.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdfloat>

#include "sightglass/core/allocation_count.h"
#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

using test::tensor;
using Texts = std::vector<std::string>;

// The regions that come out, as "label_id confidence x,y,w,h" in thousandths.
Texts decode(std::vector<Tensor> tensors, const test::Settings& settings = {}, int batch_index = 0) {
  Frame frame = test::frame_of(std::move(tensors));
  frame.source = SourceId{.batch_index = batch_index};
  auto element = test::make<TransformInplace>("tensor_postproc_yolo", settings);
  if (auto done = test::run(*element, frame, {"out"}); !done) return {done.error().message};
  Texts texts;
  const auto milli = [](float v) { return std::lround(v * 1000); };
  for (const Region& r : frame.regions)
    texts.push_back(std::format("{} {} {},{},{},{}", r.label_id, milli(r.confidence), milli(r.box.x),
                                milli(r.box.y), milli(r.box.w), milli(r.box.h)));
  return texts;
}

// A YOLOX output for a 64×64 input (64 + 16 + 4 cells) with two classes, nothing found yet.
constexpr int x_cells = 84, x_columns = 7;
struct YoloxOutput {
  std::vector<float> values = std::vector<float>(x_cells * x_columns, 0.0f);
  YoloxOutput& set(int cell, std::vector<float> row) {
    std::ranges::copy(row, values.begin() + cell * x_columns);
    return *this;
  }
  Tensor done() const { return tensor<float>({1, x_cells, x_columns}, values); }
};

// A YOLOv8 output for a 64×64 input with two classes.
struct Yolov8Output {
  int channels = 6;
  std::vector<float> values = std::vector<float>(size_t(channels) * x_cells, 0.0f);
  explicit Yolov8Output(int count = 6) : channels(count) {}
  Yolov8Output& set(int anchor, std::vector<float> column) {
    for (size_t c = 0; c < column.size(); ++c) values[c * x_cells + size_t(anchor)] = column[c];
    return *this;
  }
  Tensor done() const { return tensor<float>({1, channels, x_cells}, values); }
};

TEST(YoloX, CellsOfAllStridesAreDecoded) {
  const float log2 = std::log(2.0f);
  YoloxOutput out;
  out.set(8 * 3 + 2, {.5f, .5f, log2, 0, .9f, .1f, 1});  // stride 8, x 2, y 3: centre 20,28, size 16×8
  out.set(64 + 4 * 1 + 3, {0, 0, 0, 0, .8f, 1, .5f});    // stride 16, x 3, y 1: centre 48,16, size 16×16
  out.set(64 + 16 + 3, {-.5f, 0, 0, 0, 1, .5f, .7f});    // stride 32, x 1, y 1: centre 16,32, size 32×32
  EXPECT_EQ(decode({out.done()}, {{"head", "x"}}),
            (Texts{"1 900 188,375,250,125", "0 800 625,125,250,250", "1 700 0,250,500,500"}));
}

TEST(YoloX, TheScoreIsTheProductOfObjectnessAndClass) {
  YoloxOutput out;
  out.set(0, {4, 4, 0, 0, .5f, .99f, .98f});  // 0.495
  EXPECT_EQ(decode({out.done()}, {{"threshold", "0.5"}}), (Texts{}));
  EXPECT_EQ(decode({out.done()}, {{"threshold", "0.495"}}).size(), 1u);
}

TEST(YoloX, InputsThatAreNotSquareNeedTheirSize) {
  // 64×32: 32 + 8 + 2 cells
  std::vector<float> values(42 * 7, 0.0f);
  const std::vector<float> row = {0, 0, 0, 0, .9f, 1, 0};
  std::ranges::copy(row, values.begin() + (8 * 3 + 2) * 7);  // stride 8, x 2, y 3: centre 16,24
  const Tensor out = tensor<float>({1, 42, 7}, values);
  EXPECT_EQ(decode({out}, {{"input-width", "64"}, {"input-height", "32"}}), (Texts{"0 900 188,625,125,250"}));
  EXPECT_NE(decode({out}, {{"head", "x"}})[0].find("input-width"), std::string::npos);
  EXPECT_NE(
      decode({out}, {{"head", "x"}, {"input-width", "64"}, {"input-height", "64"}})[0].find("input-width=64"),
      std::string::npos);
}

TEST(YoloX, AFourthStrideIsFoundBySize) {
  std::vector<float> values(85 * 7, 0.0f);
  const std::vector<float> row = {.5f, .5f, 0, 0, .9f, 1, 0};
  std::ranges::copy(row, values.begin() + 84 * 7);  // stride 64
  EXPECT_EQ(decode({tensor<float>({1, 85, 7}, values)}, {{"input-width", "64"}, {"input-height", "64"}}),
            (Texts{"0 900 0,0,1000,1000"}));
}

TEST(YoloV8, BoxesAreCentresInPixels) {
  Yolov8Output out;
  out.set(3, {32, 16, 32, 16, .2f, .9f});
  out.set(83, {16, 32, 16, 32, .8f, .1f});  // behind the last whole block
  EXPECT_EQ(decode({out.done()}), (Texts{"1 900 250,125,500,250", "0 800 125,250,250,500"}));
}

TEST(YoloV8, UnevenInputsNeedTheirSize) {
  std::vector<float> values(6 * 42, 0.0f);
  for (auto [channel, v] : {std::pair{0, 32.f}, {1, 16.f}, {2, 64.f}, {3, 32.f}, {4, .9f}})
    values[size_t(channel) * 42] = v;
  const Tensor out = tensor<float>({1, 6, 42}, values);
  EXPECT_EQ(decode({out}, {{"input-width", "64"}, {"input-height", "32"}}), (Texts{"0 900 0,0,1000,1000"}));
  EXPECT_NE(decode({out})[0].find("input-width"), std::string::npos);
}

TEST(YoloV8, NothingButClassScoresCountsForTheBoxTask) {
  // Two classes and three mask coefficients, which are larger than any score.
  Yolov8Output out(9);
  out.set(0, {32, 32, 32, 32, .9f, .1f, 5, 6, 7});
  const Tensor prototypes = tensor<float>({1, 3, 2, 2}, std::vector<float>(12));
  EXPECT_EQ(decode({out.done(), prototypes}, {{"task", "box"}, {"labels", "a,b"}}),
            (Texts{"0 900 250,250,500,500"}));
  EXPECT_EQ(decode({out.done(), prototypes}, {{"task", "box"}}), (Texts{"0 900 250,250,500,500"}));
  EXPECT_NE(decode({out.done()}, {{"labels", "a,b"}})[0].find("task=box"), std::string::npos);
}

TEST(YoloV8, OnlyTheOwnSampleOfABatchIsRead) {
  Yolov8Output one, two;
  one.set(0, {32, 32, 32, 32, .9f, 0});
  two.set(5, {16, 16, 32, 32, 0, .8f});
  std::vector<float> both = one.values;
  both.insert(both.end(), two.values.begin(), two.values.end());
  const Tensor out = tensor<float>({2, 6, x_cells}, both);
  EXPECT_EQ(decode({out}, {}, 0), (Texts{"0 900 250,250,500,500"}));
  EXPECT_EQ(decode({out}, {}, 1), (Texts{"1 800 0,0,500,500"}));
}

TEST(YoloV8, WhatIsNotANumberIsLeftOut) {
  const float nan = std::nanf("");
  Yolov8Output out;
  out.set(0, {32, 32, 32, 32, nan, nan});
  out.set(1, {nan, 32, 32, 32, .9f, 0});
  out.set(2, {32, 32, nan, 32, .9f, 0});
  out.set(3, {32, 32, 32, 32, nan, .8f});  // the other score counts
  EXPECT_EQ(decode({out.done()}), (Texts{"1 800 250,250,500,500"}));
}

TEST(YoloEnd2End, RowsAreFinished) {
  const Tensor out =
      tensor<float>({1, 3, 6}, {0, 0, 32, 32, .9f, 1, 0, 0, 32, 33, .8f, 1, 0, 0, 1, 1, .1f, 0});
  // Neither suppressed nor grids of anything.
  EXPECT_EQ(decode({out}, {{"input-width", "64"}, {"input-height", "64"}}),
            (Texts{"1 900 0,0,500,500", "1 800 0,0,500,516"}));
  EXPECT_NE(decode({out})[0].find("input-width"), std::string::npos);
}

TEST(Yolo, SuppressionFollowsItsParameters) {
  Yolov8Output out;
  out.set(0, {32, 32, 32, 32, .9f, 0});
  out.set(1, {33, 32, 32, 32, .8f, 0});
  out.set(2, {32, 32, 32, 32, 0, .7f});
  EXPECT_EQ(decode({out.done()}).size(), 2u);
  EXPECT_EQ(decode({out.done()}, {{"nms", "false"}}).size(), 3u);
  EXPECT_EQ(decode({out.done()}, {{"nms-per-class", "false"}}).size(), 1u);
  EXPECT_EQ(decode({out.done()}, {{"iou-threshold", "0.95"}}).size(), 3u);
  EXPECT_EQ(decode({out.done()}, {{"max-objects", "1"}}), (Texts{"0 900 250,250,500,500"}));
}

TEST(Yolo, DuplicatesOfDifferentStridesAreSuppressed) {
  YoloxOutput out;
  out.set(8 * 4 + 4, {0, 0, std::log(4.0f), std::log(4.0f), .9f, 1, 0});       // centre 32,32, size 32
  out.set(64 + 4 * 2 + 2, {0, 0, std::log(2.0f), std::log(2.0f), .8f, 1, 0});  // the same at stride 16
  EXPECT_EQ(decode({out.done()}), (Texts{"0 900 250,250,500,500"}));
}

TEST(Yolo, LabelsMayNotBeMoreThanScores) {
  EXPECT_NE(decode({Yolov8Output().done()}, {{"labels", "a,b,c"}})[0].find("out float32 1x6x84"),
            std::string::npos);
  EXPECT_NE(decode({Yolov8Output().done()}, {{"labels", "a,b"}, {"classes", "1"}})[0].find("classes=1"),
            std::string::npos);
}

TEST(Yolo, ShapesOfNoHeadAreNamedInTheError) {
  EXPECT_NE(decode({tensor<float>({1, 10}, std::vector<float>(10))})[0].find("out float32 1x10"),
            std::string::npos);
  EXPECT_NE(decode({tensor<float>({1, 3, 84}, std::vector<float>(252))})[0].find("1x3x84"),
            std::string::npos);
  const Texts several = decode({tensor<float>({1, 84, 7}, std::vector<float>(588)),
                                tensor<float>({1, 84, 7}, std::vector<float>(588))});
  EXPECT_NE(several[0].find("several"), std::string::npos) << several[0];
  EXPECT_EQ(several[0].find('\n'), std::string::npos);
}

TEST(Yolo, RowsMayStandInColumnsAndColumnsInRows) {
  std::vector<float> rows(84 * 6, 0.f);
  const std::vector<float> row = {32, 16, 32, 16, .2f, .9f};
  std::ranges::copy(row, rows.begin() + 3 * 6);
  EXPECT_EQ(decode({tensor<float>({1, 84, 6}, rows)}, {{"head", "v8"}}), (Texts{"1 900 250,125,500,250"}));
}

TEST(Yolo, AVersionThatIsNoneIsRefusedAtStart) {
  for (const char* version : {"1", "6", "13"}) {
    auto element = test::make<TransformInplace>("tensor_postproc_yolo", {{"version", version}});
    const std::string message = test::message_of(element->start());
    EXPECT_NE(message.find(std::string("version=") + version), std::string::npos) << message;
  }
}

TEST(Yolo, HalfPrecisionIsRead) {
  Yolov8Output out;
  out.set(3, {32, 16, 32, 16, .25f, .75f});
  std::vector<std::float16_t> half;
  for (const float value : out.values) half.push_back(std::float16_t(value));
  EXPECT_EQ(decode({tensor<std::float16_t>({1, 6, x_cells}, half, DataType::f16)}),
            (Texts{"1 750 250,125,500,250"}));
}

TEST(Yolo, TheVersionChoosesTheHead) {
  for (const char* version : {"8", "9", "11"})
    EXPECT_EQ(decode({Yolov8Output().set(0, {32, 32, 32, 32, .9f, 0}).done()}, {{"version", version}}).size(),
              1u);
}

TEST(Yolo, AnotherShapeThanAgreedIsAnError) {
  auto element = test::make<TransformInplace>("tensor_postproc_yolo");
  Frame frame = test::frame_of({Yolov8Output().done()});
  ASSERT_TRUE(test::run(*element, frame));
  Frame other = test::frame_of({tensor<float>({1, 6, 21}, std::vector<float>(126))});
  EXPECT_FALSE(element->process(other));
  Frame none;
  EXPECT_FALSE(element->process(none));
}

TEST(Yolo, FreeAxesAreFilledByTheFrame) {
  auto element = test::make<TransformInplace>("tensor_postproc_yolo");
  Frame frame = test::frame_of({Yolov8Output().set(0, {32, 32, 32, 32, .9f, 0}).done()});
  Format format = test::format_of(frame);
  std::get<TensorsInfo>(format.media).tensors[0].shape = {1, 6, -1};
  ASSERT_TRUE(element->start());
  ASSERT_TRUE(element->configure(format, format));
  ASSERT_TRUE(element->process(frame));
  EXPECT_EQ(frame.regions.size(), 1u);
}

TEST(Yolo, DoesNotAllocateOnceWarm) {
  auto element = test::make<TransformInplace>("tensor_postproc_yolo", {{"labels", "a,b"}});
  Frame frame = test::frame_of({Yolov8Output().set(0, {32, 32, 32, 32, .9f, 0}).done()});
  ASSERT_TRUE(test::run(*element, frame));
  const size_t before = allocation_count();
  frame.regions.clear();
  ASSERT_TRUE(element->process(frame));
  EXPECT_EQ(allocation_count(), before);
  EXPECT_EQ(frame.regions.size(), 1u);
}

TEST(YoloHeads, SquareInputsFollowFromTheirCells) {
  EXPECT_EQ(square_input(3549), (InputSize{416, 416}));
  EXPECT_EQ(square_input(8400), (InputSize{640, 640}));
  EXPECT_EQ(square_input(2100), (InputSize{320, 320}));
  EXPECT_FALSE(square_input(25200));  // three anchors each: never the cells of another square
  EXPECT_FALSE(square_input(300));
  EXPECT_FALSE(square_input(0));
  EXPECT_EQ(cell_count({416, 416}), 3549);
}

}  // namespace
}  // namespace sightglass
