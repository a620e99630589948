#include "sightglass/elements/tensor_convert/tensor_convert.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "sightglass/core/allocation_count.h"
#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

std::vector<std::string> tensors_for(const VideoSpec& video) {
  std::vector<std::string> texts;
  for (const FormatSpec& spec : TensorConvert().transform_format(Direction::input, {video})) {
    const TensorSpec& tensor = std::get<TensorsSpec>(spec.media).tensors.at(0);
    EXPECT_EQ(tensor.types, std::vector{DataType::u8});
    texts.push_back(std::string(to_string(tensor.layout)) + " " + tensor.shape.to_string() +
                    (tensor.strides.empty() ? "" : " / " + tensor.strides.to_string()));
  }
  return texts;
}
VideoSpec video_of(std::vector<PixelFormat> formats, int width, int height) {
  return {std::move(formats), IntRange::exactly(width), IntRange::exactly(height)};
}
using Texts = std::vector<std::string>;

Format tensor_format(const Shape& shape, Layout layout = Layout::any, const Shape& strides = {}) {
  TensorInfo info;
  info.type = DataType::u8;
  info.shape = shape;
  info.layout = layout;
  info.strides = strides;
  Format format;
  format.media = TensorsInfo{{info}, {}};
  return format;
}

// The frame that comes out, and how often memory was asked for.
struct Converted {
  Frame frame;
  int copies = 0;
  std::string error;
};
Converted convert(const Frame& picture, const Format& output) {
  auto element = test::make<Transform>("tensor_convert");
  test::Collected out(output);
  if (auto configured = element->configure(test::format_of_picture(picture), output); !configured)
    return {{}, 0, configured.error().message};
  if (auto done = element->process(picture, out); !done) return {{}, 0, done.error().message};
  return {out.frame(0), out.allocated, ""};
}

TEST(TensorConvert, OffersShapesWithAndWithoutBatch) {
  EXPECT_EQ(tensors_for(video_of({PixelFormat::rgb}, 8, 4)), (Texts{"NHWC 1x4x8x3", "HWC 4x8x3"}));
  EXPECT_EQ(tensors_for(video_of({PixelFormat::bgrx}, 8, 4)), (Texts{"NHWC 1x4x8x4", "HWC 4x8x4"}));
  EXPECT_EQ(tensors_for(video_of({PixelFormat::bgrp}, 8, 4)), (Texts{"NCHW 1x3x4x8", "CHW 3x4x8"}));
  EXPECT_EQ(tensors_for(video_of({PixelFormat::gray8}, 8, 4))[0], "HW 4x8");
  EXPECT_EQ(tensors_for(video_of({PixelFormat::rgb, PixelFormat::bgr}, 8, 4)).size(), 2u);
  EXPECT_EQ(tensors_for({{PixelFormat::rgb}, {}, {}})[0], "NHWC 1x?x?x3");
  EXPECT_TRUE(tensors_for(video_of({PixelFormat::nv12}, 8, 4)).empty());
}

TEST(TensorConvert, PaddedRowsBecomeStrides) {
  EXPECT_EQ(tensors_for(video_of({PixelFormat::rgb}, 5, 4)),
            (Texts{"NHWC 1x4x5x3 / 64x16x3x1", "HWC 4x5x3 / 16x3x1"}));
  EXPECT_EQ(tensors_for(video_of({PixelFormat::rgbp}, 5, 4)),
            (Texts{"NCHW 1x3x4x5 / 96x32x8x1", "CHW 3x4x5 / 32x8x1"}));
}

TEST(TensorConvert, OffersThePicturesOfATensor) {
  const auto pictures = [](const TensorSpec& tensor) {
    std::vector<PixelFormat> formats;
    for (const FormatSpec& spec :
         TensorConvert().transform_format(Direction::output, {TensorsSpec{{tensor}, {}}})) {
      const auto& video = std::get<VideoSpec>(spec.media);
      if (!tensor.shape.empty()) {
        EXPECT_EQ(video.width.min, 416);
        EXPECT_EQ(video.height.max, 288);
      }
      formats.insert(formats.end(), video.formats.begin(), video.formats.end());
    }
    return formats;
  };
  using enum PixelFormat;
  EXPECT_EQ(pictures({{DataType::u8}, {1, 3, 288, 416}, Layout::any, {}, {}}), (std::vector{rgbp, bgrp}));
  EXPECT_EQ(pictures({{}, {288, 416, 3}, Layout::any, {}, {}}), (std::vector{rgb, bgr}));
  EXPECT_EQ(pictures({{DataType::f32, DataType::u8}, {1, 288, 416, 4}, Layout::nhwc, {}, {}}),
            (std::vector{rgbx, bgrx, rgba, bgra}));
  EXPECT_EQ(pictures({{DataType::u8}, {288, 416}, Layout::any, {}, {}}), (std::vector{gray8}));
  EXPECT_EQ(pictures({{DataType::u8}, {-1, 3, 288, 416}, Layout::nchw, {}, {}}), (std::vector{rgbp, bgrp}));
  EXPECT_TRUE(pictures({{DataType::f32}, {1, 3, 288, 416}, Layout::any, {}, {}}).empty());
  EXPECT_TRUE(pictures({{DataType::u8}, {2, 3, 288, 416}, Layout::any, {}, {}}).empty());
  EXPECT_EQ(pictures({{DataType::u8}, {}, Layout::any, {}, {}}).size(), 9u);
}

TEST(TensorConvert, EveryMemoryKindKeepsItsMemory) {
  for (MemoryKind kind : {MemoryKind::system, MemoryKind::cuda, MemoryKind::va})
    EXPECT_EQ(TensorConvert()
                  .transform_format(Direction::input, {video_of({PixelFormat::rgb}, 8, 4), kind})
                  .at(0)
                  .memory,
              kind);
}

TEST(TensorConvert, SharesInterleavedPixels) {
  Frame picture = test::picture(PixelFormat::bgr, 8, 4, 4);
  test::fill(picture, [](int, int y, int x) { return y * 30 + x; });
  picture.affine = Affine{{.5, 0, 0, 0, .5, 0}};
  picture.source = SourceId{.roi = 4};
  picture.regions.resize(1);
  picture.attributes = with(nullptr, {.name = Label("scene")});
  const Converted made = convert(picture, tensor_format({1, 4, 8, 3}));
  ASSERT_EQ(made.error, "");
  EXPECT_EQ(made.copies, 0);
  const Tensor& tensor = made.frame.tensors.at(0);
  EXPECT_EQ(tensor.memory, picture.tensors[0].memory);
  EXPECT_EQ(tensor.layout, Layout::nhwc);
  EXPECT_EQ(test::values_of<uint8_t>(tensor)[3 * 9], 33);  // y 1, x 1
  EXPECT_FALSE(made.frame.video);
  EXPECT_EQ(made.frame.affine, picture.affine);
  EXPECT_EQ(made.frame.source, picture.source);
  EXPECT_TRUE(made.frame.regions.empty());  // results of the picture are none of the tensor
  EXPECT_FALSE(made.frame.attributes);
}

TEST(TensorConvert, SharesPaddedRows) {
  Frame picture = test::picture(PixelFormat::rgb, 5, 4, 4);
  test::fill(picture, [](int, int y, int x) { return y * 30 + x; });
  const Converted made = convert(picture, tensor_format({4, 5, 3}, Layout::hwc, {16, 3, 1}));
  ASSERT_EQ(made.error, "");
  EXPECT_EQ(made.copies, 0);
  EXPECT_EQ(test::values_of<uint8_t>(made.frame.tensors[0])[15], 30);
}

TEST(TensorConvert, SharesPlanesThatLieOneBehindTheOther) {
  Frame picture = test::picture(PixelFormat::rgbp, 8, 4, 4);
  test::fill(picture, [](int p, int y, int x) { return p * 100 + y * 10 + x; });
  const Converted made = convert(picture, tensor_format({1, 3, 4, 8}, Layout::nchw));
  ASSERT_EQ(made.error, "");
  EXPECT_EQ(made.copies, 0);
  EXPECT_EQ(test::values_of<uint8_t>(made.frame.tensors[0])[2 * 32 + 3 * 8 + 7], 237);
}

TEST(TensorConvert, SharesGray) {
  Frame picture = test::picture(PixelFormat::gray8, 8, 4, 4);
  for (const Shape& shape : {Shape{4, 8}, Shape{1, 4, 8, 1}, Shape{1, 1, 4, 8}}) {
    const Converted made = convert(picture, tensor_format(shape));
    EXPECT_EQ(made.error, "");
    EXPECT_EQ(made.copies, 0);
  }
}

TEST(TensorConvert, CopiesWhatLiesOtherwise) {
  // Rows padded further than agreed, as some decoders do.
  Frame picture = test::picture(PixelFormat::rgb, 8, 4, 64);
  test::fill(picture, [](int, int y, int x) { return y * 30 + x; });
  Converted made = convert(picture, tensor_format({1, 4, 8, 3}));
  ASSERT_EQ(made.error, "");
  EXPECT_EQ(made.copies, 1);
  EXPECT_EQ(test::values_of<uint8_t>(made.frame.tensors[0])[24 + 5], 35);

  // Planes in memory of their own.
  Frame planes = test::picture(PixelFormat::rgbp, 8, 4);
  planes.tensors[2] = test::tensor<uint8_t>({4, 8}, std::vector<uint8_t>(32, 9));
  made = convert(planes, tensor_format({1, 3, 4, 8}));
  ASSERT_EQ(made.error, "");
  EXPECT_EQ(made.copies, 1);
  EXPECT_EQ(test::values_of<uint8_t>(made.frame.tensors[0])[2 * 32], 9);
}

TEST(TensorConvert, OtherShapesAreNamedInTheError) {
  const Frame picture = test::picture(PixelFormat::rgb, 8, 4);
  EXPECT_EQ(convert(picture, tensor_format({1, 3, 4, 8})).error, "RGB 8x4 cannot be read as uint8 1x3x4x8");
  EXPECT_NE(convert(picture, {}).error, "");
  EXPECT_NE(convert(test::picture(PixelFormat::nv12, 8, 4), tensor_format({4, 8})).error, "");
}

TEST(TensorConvert, DoesNotAllocateOnceWarm) {
  struct Ignore final : Output {
    Status allocate(Frame&) override { return {}; }
    Status push(const Frame&) override { return {}; }
    Status gap(const Gap&) override { return {}; }
  } out;
  const Frame picture = test::picture(PixelFormat::rgbp, 8, 4, 4);
  auto element = test::make<Transform>("tensor_convert");
  ASSERT_TRUE(element->configure(test::format_of_picture(picture), tensor_format({1, 3, 4, 8})));
  ASSERT_TRUE(element->process(picture, out));
  const size_t before = allocation_count();
  ASSERT_TRUE(element->process(picture, out));
  EXPECT_EQ(allocation_count(), before);
}

// ---- sound

TensorsSpec sound_spec(std::vector<DataType> types, int64_t channels) {
  TensorsSpec spec;
  spec.tensors.push_back({.types = std::move(types), .shape = {channels, -1}, .strides = {}, .name = {}});
  spec.model = TensorConvert::sound;
  return spec;
}
// A buffer of interleaved sound as the runtime gives it.
Frame sound_frame(int64_t channels, int64_t samples) {
  std::vector<float> values;
  for (int64_t i = 0; i < channels * samples; ++i) values.push_back(float(i));
  Tensor tensor = test::tensor<float>({samples, channels}, values);
  tensor.shape = {channels, samples};
  tensor.strides = {4, 4 * channels};
  return test::frame_of({tensor});
}
Format sound_format(int64_t channels, DataType type = DataType::f32) {
  Format format;
  const int64_t size = int64_t(size_of(type));
  format.media =
      TensorsInfo{{{.type = type, .shape = {channels, -1}, .strides = {size, size * channels}, .name = {}}},
                  TensorConvert::sound};
  return format;
}
Format samples_format(const Shape& shape) {
  Format format;
  format.media = TensorsInfo{{{.type = DataType::f32, .shape = shape, .strides = {}, .name = {}}}, {}};
  return format;
}

TEST(TensorConvert, OffersSoundAsChannelsAndSamples) {
  const auto specs =
      TensorConvert().transform_format(Direction::input, {sound_spec({DataType::i16, DataType::f32}, 2)});
  ASSERT_EQ(specs.size(), 2u);
  const auto& first = std::get<TensorsSpec>(specs[0].media).tensors.at(0);
  EXPECT_EQ(first.types, std::vector{DataType::i16});
  EXPECT_EQ(first.shape, (Shape{2, -1}));
  EXPECT_EQ(first.strides, (Shape{2, 4}));
  EXPECT_EQ(TensorConvert().transform_format(Direction::input, {sound_spec({DataType::f32}, 1)}).size(), 2u);
}

TEST(TensorConvert, OffersTheSoundOfATensor) {
  TensorsSpec model;
  model.tensors.push_back({.types = {DataType::f32}, .shape = {1, 400}, .strides = {}, .name = {}});
  const auto specs = TensorConvert().transform_format(Direction::output, {model});
  ASSERT_EQ(specs.size(), 1u);
  const auto& sound = std::get<TensorsSpec>(specs[0].media);
  EXPECT_EQ(sound.model, TensorConvert::sound);
  EXPECT_EQ(sound.tensors.at(0).types, std::vector{DataType::f32});
  EXPECT_EQ(sound.tensors.at(0).shape, (Shape{1, -1}));
}

TEST(TensorConvert, SharesTheMemoryOfSound) {
  auto element = test::make<Transform>("tensor_convert");
  test::Collected out;
  ASSERT_TRUE(element->configure(sound_format(2), samples_format({2, 3})));
  const Frame in = sound_frame(2, 3);
  ASSERT_TRUE(element->process(in, out));
  const Tensor& tensor = out.frame(0).tensors.at(0);
  EXPECT_EQ(tensor.memory, in.tensors[0].memory);
  EXPECT_EQ(test::values_of<float>(tensor), (std::vector<float>{0, 2, 4, 1, 3, 5}));
}

TEST(TensorConvert, SoundFitsAModelWithABatchAxis) {
  auto element = test::make<Transform>("tensor_convert");
  test::Collected out;
  ASSERT_TRUE(element->configure(sound_format(1), samples_format({1, 1, 3})));
  ASSERT_TRUE(element->process(sound_frame(1, 3), out));
  EXPECT_EQ(out.frame(0).tensors.at(0).shape, (Shape{1, 1, 3}));
  EXPECT_EQ(test::values_of<float>(out.frame(0).tensors[0]), (std::vector<float>{0, 1, 2}));
}

TEST(TensorConvert, TooFewSamplesAreAGapAndTooManyAnError) {
  auto element = test::make<Transform>("tensor_convert");
  test::Collected out;
  ASSERT_TRUE(element->configure(sound_format(1), samples_format({1, 3})));
  ASSERT_TRUE(element->process(sound_frame(1, 2), out));
  EXPECT_TRUE(out.is_gap(0));
  EXPECT_EQ(test::message_of(element->process(sound_frame(1, 4), out)).substr(0, 51),
            "a buffer of 4 samples came, 3 are wanted; cut the s");
}

TEST(TensorConvert, SoundOfOtherChannelsOrTypesIsRefused) {
  auto element = test::make<Transform>("tensor_convert");
  EXPECT_FALSE(element->configure(sound_format(2), samples_format({1, 3})));
  EXPECT_FALSE(element->configure(sound_format(1, DataType::i16), samples_format({1, 3})));
  EXPECT_FALSE(element->configure(sound_format(1), samples_format({3})));
}

}  // namespace
}  // namespace sightglass
