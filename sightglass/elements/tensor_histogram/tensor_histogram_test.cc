#include "sightglass/elements/tensor_histogram/tensor_histogram.h"

#include <numeric>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

using test::values_of;

// A picture whose pixels are made by color(x, y), as bytes in the layout asked.
template <class F>
Tensor painted(Layout layout, int width, int height, int channels, F color, int samples = 1) {
  const bool planar = layout == Layout::nchw;
  std::vector<uint8_t> bytes;
  for (int n = 0; n < samples; ++n)
    for (int i = 0; i < width * height * channels; ++i) {
      const int channel = planar ? i / (width * height) : i % channels;
      const int pixel = planar ? i % (width * height) : i / channels;
      bytes.push_back(channel < 3 ? color(pixel % width, pixel / width, n)[size_t(channel)] : 77);
    }
  Tensor made = planar ? test::tensor<uint8_t>({samples, channels, height, width}, bytes)
                       : test::tensor<uint8_t>({samples, height, width, channels}, bytes);
  made.layout = layout;
  return made;
}
using Rgb = std::array<uint8_t, 3>;

std::vector<float> histogram_of(const Tensor& picture, const test::Settings& settings) {
  auto element = test::make<Transform>("tensor_histogram", settings);
  Frame frame = test::frame_of({picture});
  const Format input = test::format_of(frame);
  EXPECT_TRUE(element->start());
  FormatSpec spec{TensorsSpec{{{{DataType::u8}, picture.shape, picture.layout, {}}}}};
  const auto made = element->transform_format(Direction::input, spec);
  EXPECT_EQ(made.size(), 1u);
  if (made.empty()) return {};
  const TensorSpec& tensor = std::get<TensorsSpec>(made[0].media).tensors.at(0);
  TensorInfo info;
  info.type = tensor.types.at(0);
  info.shape = tensor.shape;
  Format output;
  output.media = TensorsInfo{{info}, {}};
  EXPECT_TRUE(element->configure(input, output));
  test::Collected collected(output);
  EXPECT_EQ(test::message_of(element->process(frame, collected)), "no error");
  return values_of<float>(collected.frame(0).tensors.at(0));
}

const test::Settings small{{"width", "8"}, {"height", "6"}, {"num-bins", "4"}};

TEST(TensorHistogram, OneColourFillsOneBin) {
  for (const auto& [layout, channels] :
       {std::pair(Layout::nhwc, 3), {Layout::nhwc, 4}, {Layout::nchw, 3}, {Layout::nchw, 4}}) {
    const auto bins =
        histogram_of(painted(layout, 8, 6, channels, [](int, int, int) { return Rgb{255, 64, 130}; }), small);
    ASSERT_EQ(bins.size(), 64u);
    EXPECT_NEAR(bins[3 * 16 + 1 * 4 + 2], 1, 1e-5);
    EXPECT_NEAR(std::accumulate(bins.begin(), bins.end(), 0.0f), 1, 1e-5);
  }
}

TEST(TensorHistogram, TheMiddleCountsMoreThanTheEdge) {
  const auto bins =
      histogram_of(painted(Layout::nhwc, 8, 6, 3,
                           [](int x, int y, int) {
                             return x >= 2 && x < 6 && y >= 1 && y < 5 ? Rgb{255, 0, 0} : Rgb{0, 0, 255};
                           }),
                   small);
  EXPECT_GT(bins[48], 16.0f / 48 + 0.05f);  // its share of the pixels is a third
  EXPECT_NEAR(bins[48] + bins[3], 1, 1e-5);
}

TEST(TensorHistogram, SlicesFollowRowByRow) {
  auto settings = small;
  settings.emplace_back("num-slices-x", "2");
  settings.emplace_back("num-slices-y", "2");
  for (const Layout layout : {Layout::nhwc, Layout::nchw}) {
    const auto bins = histogram_of(painted(layout, 8, 6, 3,
                                           [](int x, int y, int) {
                                             const auto value = uint8_t((x / 4 + y / 3 * 2) * 64);
                                             return Rgb{value, 0, 0};
                                           }),
                                   settings);
    ASSERT_EQ(bins.size(), 256u);
    for (size_t slice = 0; slice < 4; ++slice) EXPECT_NEAR(bins[slice * 64 + slice * 16], 1, 1e-5) << slice;
  }
}

TEST(TensorHistogram, EverySampleOfABatchHasItsOwn) {
  for (const char* batch : {"3", "0"}) {
    auto settings = small;
    settings.emplace_back("batch-size", batch);
    const auto bins = histogram_of(
        painted(
            Layout::nhwc, 8, 6, 3, [](int, int, int n) { return Rgb{uint8_t(64 * n), 0, 0}; }, 3),
        settings);
    ASSERT_EQ(bins.size(), 3 * 64u);
    for (size_t n = 0; n < 3; ++n) EXPECT_NEAR(bins[n * 64 + n * 16], 1, 1e-5);
  }
}

TEST(TensorHistogram, ReadsPaddedRows) {
  Tensor wide = painted(Layout::nhwc, 12, 6, 3,
                        [](int x, int, int) { return x < 8 ? Rgb{255, 255, 255} : Rgb{0, 0, 0}; });
  wide.shape[2] = 8;
  const auto bins = histogram_of(wide, small);
  EXPECT_NEAR(bins[63], 1, 1e-5);
}

TEST(TensorHistogram, OffersWhatItTakesAndRefusesTheRest) {
  auto element = test::make<Transform>("tensor_histogram");
  const auto offers = element->transform_format(Direction::output, {TensorsSpec{}});
  ASSERT_GE(offers.size(), 4u);
  EXPECT_EQ(std::get<TensorsSpec>(offers[0].media).tensors[0].shape, (Shape{1, 64, 64, 3}));
  const auto takes = [&](TensorSpec spec) {
    return !element->transform_format(Direction::input, {TensorsSpec{{std::move(spec)}}}).empty();
  };
  EXPECT_TRUE(takes({{DataType::u8}, {1, 3, 64, 64}, Layout::nchw, {}}));
  EXPECT_TRUE(takes({{DataType::u8}, {64, 64, 3}, Layout::any, {}}));
  EXPECT_FALSE(takes({{DataType::f32}, {1, 64, 64, 3}, Layout::nhwc, {}}));
  EXPECT_FALSE(takes({{DataType::u8}, {1, 64, 32, 3}, Layout::nhwc, {}}));
  EXPECT_FALSE(takes({{DataType::u8}, {2, 64, 64, 3}, Layout::nhwc, {}}));
  EXPECT_TRUE(element->transform_format(Direction::input, {VideoSpec{}}).empty());
  Format wrong;
  wrong.media = TensorsInfo{{{.type = DataType::u8, .shape = {1, 10, 10, 3}}}, {}};
  EXPECT_EQ(test::message_of(element->configure(wrong, {})).find("wants one uint8 tensor of 64x64"), 0u);
}

TEST(TensorHistogram, RefusesWhatCannotBe) {
  const auto message = [](const test::Settings& settings) {
    return test::message_of(test::make<Transform>("tensor_histogram", settings)->start());
  };
  EXPECT_NE(message({{"width", "2"}, {"num-slices-x", "4"}}).find("4x1 slices"), std::string::npos);
  EXPECT_NE(message({{"num-bins", "64"}, {"num-slices-x", "64"}}).find("at most"), std::string::npos);
  EXPECT_NE(message({{"device", "GPU.0"}}).find("usable: CPU"), std::string::npos);
  EXPECT_EQ(message({{"device", "cpu"}}), "no error");
}

TEST(TensorHistogram, ATensorOfAnotherSizeIsAnError) {
  auto element = test::make<Transform>("tensor_histogram", small);
  Frame good = test::frame_of({painted(Layout::nhwc, 8, 6, 3, [](int, int, int) { return Rgb{}; })});
  ASSERT_TRUE(element->start());
  ASSERT_TRUE(element->configure(test::format_of(good), {}));
  Format output;
  output.media = TensorsInfo{{{.type = DataType::f32, .shape = {1, 64}}}, {}};
  test::Collected collected(output);
  Frame bad = test::frame_of({painted(Layout::nhwc, 6, 6, 3, [](int, int, int) { return Rgb{}; })});
  EXPECT_FALSE(element->process(bad, collected));
  bad.tensors.clear();
  EXPECT_FALSE(element->process(bad, collected));
  EXPECT_TRUE(element->process(good, collected));
}

}  // namespace
}  // namespace sightglass
