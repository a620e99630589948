#include "sightglass/elements/opencv_tensor_normalize/opencv_tensor_normalize.h"

#include <gtest/gtest.h>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

using test::tensor;

// The error, or the values that come out.
struct Normalized {
  std::string error;
  std::vector<float> values;
};
Normalized normalize(const Tensor& from, const test::Settings& settings) {
  auto element = test::make<Transform>("opencv_tensor_normalize", settings);
  const Frame frame = test::frame_of({from});
  Format input = test::format_of(frame), output = input;
  TensorInfo& info = std::get<TensorsInfo>(output.media).tensors[0];
  info.type = DataType::f32;
  test::Collected out(output);
  if (auto started = element->start(); !started) return {started.error().message, {}};
  if (auto configured = element->configure(input, output); !configured)
    return {configured.error().message, {}};
  if (auto done = element->process(frame, out); !done) return {done.error().message, {}};
  return {"", test::values_of<float>(out.frame(0).tensors.at(0))};
}
void expect_values(const Normalized& made, const std::vector<float>& wanted) {
  ASSERT_EQ(made.error, "");
  ASSERT_EQ(made.values.size(), wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) EXPECT_FLOAT_EQ(made.values[i], wanted[i]) << i;
}

const std::vector<uint8_t> six = {0, 51, 102, 153, 204, 255};

TEST(TensorNormalize, WithoutParametersItOnlyConverts) {
  expect_values(normalize(tensor<uint8_t>({1, 3, 1, 2}, six), {}), {0, 51, 102, 153, 204, 255});
}

TEST(TensorNormalize, RangeComesFirstThenMeanAndStd) {
  expect_values(normalize(tensor<uint8_t>({1, 3, 1, 2}, six), {{"range", "<0,1>"}}),
                {0, .2f, .4f, .6f, .8f, 1});
  expect_values(
      normalize(tensor<uint8_t>({1, 3, 1, 2}, six), {{"range", "<-1,1>"}, {"mean", "<0.5>"}, {"std", "<2>"}}),
      {-.75f, -.55f, -.35f, -.15f, .05f, .25f});
}

TEST(TensorNormalize, ChannelsFirst) {
  expect_values(normalize(tensor<uint8_t>({1, 3, 1, 2}, six), {{"mean", "<0,100,200>"}, {"std", "<1,2,4>"}}),
                {0, 51, 1, 26.5f, 1, 13.75f});
}

TEST(TensorNormalize, ChannelsLast) {
  expect_values(normalize(tensor<uint8_t>({1, 1, 2, 3}, six), {{"mean", "<0,100,200>"}, {"std", "<1,2,4>"}}),
                {0, -24.5f, -24.5f, 153, 52, 13.75f});
}

TEST(TensorNormalize, TheLayoutDecidesWhatTheShapeLeavesOpen) {
  Tensor planes = tensor<uint8_t>({3, 1, 3}, {0, 1, 2, 3, 4, 5, 6, 7, 8});
  planes.layout = Layout::hwc;
  expect_values(normalize(planes, {{"mean", "<0,10,20>"}}), {0, -9, -18, 3, -6, -15, 6, -3, -12});
  planes.layout = Layout::chw;
  expect_values(normalize(planes, {{"mean", "<0,10,20>"}}), {0, 1, 2, -7, -6, -5, -14, -13, -12});
}

TEST(TensorNormalize, PaddedRowsAreFollowed) {
  Tensor padded = tensor<uint8_t>({8}, {1, 2, 3, 99, 4, 5, 6, 99});
  padded.shape = {1, 2, 1, 3};
  padded.strides = {8, 4, 3, 1};
  expect_values(normalize(padded, {{"mean", "<1,2,3>"}}), {0, 0, 0, 3, 3, 3});
}

TEST(TensorNormalize, TheUnusedByteOfRgbxNeedsNoMean) {
  expect_values(normalize(tensor<uint8_t>({1, 1, 1, 4}, {1, 2, 3, 9}), {{"mean", "<1,2,3>"}}), {0, 0, 0, 6});
}

TEST(TensorNormalize, WrongNumbersAreErrors) {
  const Tensor any = tensor<uint8_t>({1, 3, 1, 2}, six);
  EXPECT_NE(normalize(any, {{"range", "<1>"}}).error.find("range"), std::string::npos);
  EXPECT_NE(normalize(any, {{"std", "<1,0,1>"}}).error.find("std"), std::string::npos);
  EXPECT_NE(normalize(any, {{"mean", "<1,2,3>"}, {"std", "<1,2>"}}).error.find("mean has 3"),
            std::string::npos);
  EXPECT_NE(normalize(tensor<uint8_t>({1, 1, 2, 2}, {1, 2, 3, 4}), {{"mean", "<1,2,3>"}})
                .error.find("uint8 1x1x2x2"),
            std::string::npos);
  EXPECT_NE(normalize(tensor<float>({1, 3, 1, 1}, {1, 2, 3}), {}).error.find("float32 1x3x1x1"),
            std::string::npos);
}

TEST(TensorNormalize, OffersTheOtherTypeOfTheSameShape) {
  OpencvTensorNormalize element({});
  TensorsSpec spec;
  spec.tensors.emplace_back().shape = {1, 3, 4, 5};
  spec.tensors[0].layout = Layout::nchw;
  auto forward = element.transform_format(Direction::input, {spec});
  ASSERT_EQ(forward.size(), 1u);
  const TensorSpec& out = std::get<TensorsSpec>(forward[0].media).tensors[0];
  EXPECT_EQ(out.types, std::vector{DataType::f32});
  EXPECT_EQ(out.shape, (Shape{1, 3, 4, 5}));
  EXPECT_EQ(out.layout, Layout::nchw);
  auto back = element.transform_format(Direction::output, {spec});
  EXPECT_EQ(std::get<TensorsSpec>(back.at(0).media).tensors[0].types, std::vector{DataType::u8});
  spec.tensors[0].types = {DataType::u8};
  EXPECT_TRUE(element.transform_format(Direction::output, {spec}).empty());
}

TEST(TensorNormalize, TheOriginIsKept) {
  auto element = test::make<Transform>("opencv_tensor_normalize");
  Frame frame = test::frame_of({tensor<uint8_t>({1, 3, 1, 2}, six)});
  frame.pts = 5;
  frame.source = SourceId{.roi = 3};
  frame.affine = Affine{{.5, 0, 0, 0, .5, 0}};
  Format input = test::format_of(frame), output = input;
  std::get<TensorsInfo>(output.media).tensors[0].type = DataType::f32;
  test::Collected out(output);
  ASSERT_TRUE(element->configure(input, output));
  ASSERT_TRUE(element->process(frame, out));
  EXPECT_EQ(out.frame(0).pts, 5);
  EXPECT_EQ(out.frame(0).source, frame.source);
  EXPECT_EQ(out.frame(0).affine, frame.affine);
}

}  // namespace
}  // namespace sightglass
