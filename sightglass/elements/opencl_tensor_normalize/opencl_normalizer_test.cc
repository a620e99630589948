#include <gmock/gmock.h>

#include <random>

#include "sightglass/elements/element_test_support.h"
#include "sightglass/memory/context.h"
#include "sightglass/memory/map_to.h"

namespace sightglass {
namespace {

class OpenclNormalize : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = default_context(MemoryKind::opencl);
    if (!opened) GTEST_SKIP() << opened.error().message;
  }

  static Tensor noise(const Shape& shape) {
    std::vector<uint8_t> values;
    std::minstd_rand random(7);
    for (int64_t i = 0; i < shape.elements(); ++i) values.push_back(uint8_t(random() >> 8));
    return test::tensor<uint8_t>(shape, values);
  }

  struct Normalized {
    std::string error;
    Frame frame;
  };
  static Normalized run(const Frame& frame, const test::Settings& settings,
                        MemoryKind memory = MemoryKind::system) {
    auto element = test::make<Transform>("opencl_tensor_normalize", settings);
    Format input = test::format_of(frame);
    if (auto started = element->start(); !started) return {started.error().message, {}};
    const auto specs = element->transform_format(
        Direction::input,
        {TensorsSpec{{TensorSpec{{DataType::u8}, frame.tensors[0].shape, Layout::nhwc, {}, {}}}, {}}});
    if (specs.empty()) return {"no format", {}};
    const TensorSpec& spec = std::get<TensorsSpec>(specs[0].media).tensors[0];
    Format output;
    output.media = TensorsInfo{{{.type = DataType::f32, .shape = spec.shape, .layout = spec.layout}}, {}};
    output.memory = memory;
    if (auto configured = element->configure(input, output); !configured)
      return {configured.error().message, {}};
    test::Collected out(output);
    if (auto done = element->process(frame, out); !done) return {done.error().message, {}};
    return {"", out.frame(0)};
  }

  static void expect_normalized(const Tensor& from, const Tensor& to, double low, double high,
                                std::array<double, 3> mean, std::array<double, 3> std, bool swap) {
    const auto in = test::values_of<uint8_t>(from);
    auto mapping = map(to, Access::read);
    ASSERT_TRUE(mapping) << mapping.error().message;
    const auto out = mapping->as<const float>();
    const int64_t channels = from.shape.back(), pixels = from.shape.elements() / channels;
    const int64_t samples = from.shape.rank() == 4 ? from.shape[0] : 1, plane = pixels / samples;
    ASSERT_EQ(int64_t(out.size()), pixels * 3);
    for (int64_t n = 0; n < samples; ++n)
      for (int64_t p = 0; p < plane; ++p)
        for (int64_t c = 0; c < 3; ++c) {
          const int value = in[size_t(((n * plane + p) * channels) + (swap ? 2 - c : c))];
          const double expected = (value / 255.0 * (high - low) + low - mean[size_t(c)]) / std[size_t(c)];
          ASSERT_NEAR(out[size_t((n * 3 + c) * plane + p)], expected,
                      1e-4 * std::max(1.0, std::abs(expected)));
        }
  }
};

TEST_F(OpenclNormalize, MakesPlanesOfPixelsInSystemMemoryAndOnTheDevice) {
  for (const MemoryKind memory : {MemoryKind::system, MemoryKind::opencl}) {
    for (const Shape& shape : {Shape{1, 6, 10, 4}, Shape{3, 5, 7, 4}, Shape{6, 10, 3}}) {
      const Frame frame = test::frame_of({noise(shape)});
      const Normalized made = run(frame, {}, memory);
      ASSERT_EQ(made.error, "");
      EXPECT_EQ(made.frame.tensors[0].memory->kind(), memory);
      expect_normalized(frame.tensors[0], made.frame.tensors[0], 0, 255, {}, {1, 1, 1}, false);
    }
  }
}

TEST_F(OpenclNormalize, AppliesRangeThenMeanAndStdOfEachChannelOut) {
  const Frame frame = test::frame_of({noise({1, 6, 10, 4})});
  const Normalized made = run(frame, {{"range", "<0,1>"},
                                      {"mean", "<0.485,0.456,0.406>"},
                                      {"std", "<0.229,0.224,0.225>"},
                                      {"color", "rgb"}});
  ASSERT_EQ(made.error, "");
  expect_normalized(frame.tensors[0], made.frame.tensors[0], 0, 1, {.485, .456, .406}, {.229, .224, .225},
                    true);
}

TEST_F(OpenclNormalize, ReadsRowsWithGapsAndTensorsOnTheDevice) {
  Tensor padded = noise({1, 6, 12, 4});
  padded.shape[2] = 10;
  const Frame frame = test::frame_of({padded});
  const Normalized made = run(frame, {});
  ASSERT_EQ(made.error, "");
  expect_normalized(padded, made.frame.tensors[0], 0, 255, {}, {1, 1, 1}, false);

  auto mapped = map_to(test::frame_of({noise({1, 6, 10, 4})}), {.form = {MemoryKind::opencl, std::nullopt}});
  ASSERT_TRUE(mapped);
  Frame on_device = mapped->frame();
  const Normalized again = run(on_device, {}, MemoryKind::opencl);
  ASSERT_EQ(again.error, "");
  expect_normalized(noise({1, 6, 10, 4}), again.frame.tensors[0], 0, 255, {}, {1, 1, 1}, false);
}

TEST_F(OpenclNormalize, CarriesTheOriginOfTheFrameAndOfItsSamples) {
  Frame frame = test::frame_of({noise({2, 2, 2, 4})});
  frame.pts = 40;
  frame.affine = Affine{{2, 0, 0, 0, 2, 0}};
  frame.batch = {{.source = {.stream = 1}}, {.source = {.stream = 2}}};
  const Normalized made = run(frame, {});
  ASSERT_EQ(made.error, "");
  EXPECT_EQ(made.frame.pts, 40);
  EXPECT_EQ(made.frame.affine, frame.affine);
  EXPECT_EQ(made.frame.batch, frame.batch);
}

TEST_F(OpenclNormalize, RefusesWhatItCannotDoWithTheReason) {
  const Frame frame = test::frame_of({noise({1, 4, 4, 4})});
  EXPECT_THAT(run(frame, {{"std", "<1,0,1>"}}).error, testing::HasSubstr("std must not be 0"));
  EXPECT_THAT(run(frame, {{"mean", "<1,2>"}}).error, testing::HasSubstr("mean needs one number or three"));
  EXPECT_THAT(run(frame, {{"range", "<1>"}}).error, testing::HasSubstr("range needs two numbers"));
  EXPECT_EQ(run(test::frame_of({noise({1, 4, 4, 2})}), {}).error, "no format");
}

}  // namespace
}  // namespace sightglass
