#include "sightglass/elements/video_to_tensor/kernel.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cmath>
#include <string>
#include <vector>

#include "sightglass/core/allocation_count.h"
#include "sightglass/elements/video_to_tensor/kernel_simd.h"
#include "sightglass/elements/video_to_tensor/test_picture.h"

namespace sightglass {
namespace {

using test::Picture;
using test::Reference;

VideoInfo video(PixelFormat format, int width, int height) {
  VideoInfo info;
  info.format = format, info.width = width, info.height = height;
  return info;
}

// A tensor with padded rows and a guard behind each, which must stay as it is.
template <class T>
struct Tensor3 {
  Tensor3(const PreprocessOptions& options, int padding) : planar(options.planar), size(options.canvas) {
    channels = channel_count(options.channels);
    row = size_t(planar ? size.width : size.width * channels) + size_t(padding);
    values.assign(row * size_t(size.height) * size_t(planar ? channels : 1), guard());
    view = {values.data(), ptrdiff_t(row * sizeof(T)), ptrdiff_t(row * size_t(size.height) * sizeof(T))};
  }
  static T guard() { return T(93); }
  T at(int x, int y, int c) const {
    return planar ? values[size_t(c * size.height + y) * row + size_t(x)]
                  : values[size_t(y) * row + size_t(x * channels + c)];
  }
  bool guards_intact() const {
    const size_t used = size_t(planar ? size.width : size.width * channels);
    for (size_t i = 0; i < values.size(); ++i)
      if (i % row >= used && values[i] != guard()) return false;
    return true;
  }
  bool planar;
  Size size;
  int channels;
  size_t row;
  std::vector<T> values;
  TensorView view;
};

struct Error {
  double max = 0, mean = 0;
};

// Largest and mean distance from the reference, borders included; options without normalisation.
Error error_of(Picture& picture, const PreprocessOptions& options, const Crop& crop) {
  auto made = Preprocessor::make(picture.info, options);
  EXPECT_TRUE(made) << made.error().message;
  Tensor3<float> tensor(options, 5);
  const Affine back = (*made)->run(picture.planes, crop, tensor.view);
  EXPECT_TRUE(tensor.guards_intact());
  const Placement placement = place(options.rule, picture.info.pixel_aspect, crop, options.canvas);
  EXPECT_EQ(back, affine(placement, picture.info));
  const Reference reference(picture, options, placement);
  Error error;
  double count = 0;
  for (int y = 0; y < options.canvas.height; ++y)
    for (int x = 0; x < options.canvas.width; ++x) {
      std::array<double, 3> expected{};
      if (reference.inside(x, y))
        expected = reference.pixel(x, y);
      else
        for (size_t c = 0; c < 3; ++c)
          expected[c] =
              options.pad_value.empty() ? 0 : options.pad_value[std::min(c, options.pad_value.size() - 1)];
      for (int c = 0; c < tensor.channels; ++c) {
        const double e = std::abs(double(tensor.at(x, y, c)) - expected[size_t(c)]);
        error.max = std::max(error.max, e);
        error.mean += e;
        ++count;
      }
    }
  error.mean /= count;
  return error;
}

Crop all(const VideoInfo& info) { return {0, 0, info.width, info.height}; }

// Each test runs with every instruction set that this machine has.
class Kernel : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};
INSTANTIATE_TEST_SUITE_P(Targets, Kernel, testing::ValuesIn([] {
                           const int64_t compiled = preprocess::compiled_targets();
                           std::vector<int64_t> targets;
                           for (int64_t left = hwy::SupportedTargets() & compiled; left; left &= left - 1)
                             targets.push_back(left & -left);
                           return targets;
                         }()),
                         [](const auto& test) { return std::string(hwy::TargetName(test.param)); });

TEST_P(Kernel, RunsOnTheInstructionSetUnderTest) {
  EXPECT_STREQ(Preprocessor::instruction_set(), hwy::TargetName(GetParam()));
}

TEST_P(Kernel, EveryFormatAgreesWithTheReference) {
  for (PixelFormat format : all_8_bit_formats())
    for (bool planar : {false, true})
      for (ChannelOrder channels : {ChannelOrder::rgb, ChannelOrder::bgr, ChannelOrder::gray}) {
        Picture picture(video(format, 97, 61), 7);
        picture.fill_smooth();
        PreprocessOptions options;
        options.canvas = {83, 70}, options.planar = planar, options.channels = channels;
        const Error e = error_of(picture, options, all(picture.info));
        EXPECT_LE(e.max, 0.15) << to_string(format) << " planar " << planar << " channels " << int(channels);
      }
}

TEST_P(Kernel, EveryResizeRuleAgreesWithTheReference) {
  for (PixelFormat format : {PixelFormat::i420, PixelFormat::nv12, PixelFormat::rgb, PixelFormat::bgra})
    for (Resize resize : {Resize::stretch, Resize::letterbox, Resize::letterbox_topleft, Resize::crop,
                          Resize::none, Resize::fit_height, Resize::multiple})
      for (bool planar : {false, true})
        for (Crop crop :
             {Crop{0, 0, 201, 117}, Crop{31, 17, 93, 55}, Crop{200, 116, 1, 1}, Crop{7, 0, 3, 117}}) {
          Picture picture(video(format, 201, 117), 3);
          picture.fill_smooth();
          PreprocessOptions options;
          options.canvas = {96, 64}, options.rule = {resize}, options.planar = planar;
          options.pad_value = {114, 3, 250};
          const Error e = error_of(picture, options, crop);
          EXPECT_LE(e.max, 0.15) << to_string(format) << " resize " << int(resize) << " planar " << planar
                                 << " crop " << crop.x << "," << crop.y << " " << crop.w << "x" << crop.h;
        }
}

TEST_P(Kernel, EveryScaleAgreesWithTheReference) {
  for (PixelFormat format : {PixelFormat::i420, PixelFormat::nv21, PixelFormat::y42b, PixelFormat::rgb,
                             PixelFormat::bgrx, PixelFormat::gray8})
    for (int canvas : {1, 2, 7, 8, 15, 16, 17, 31, 33, 64, 100, 129, 250, 511}) {
      Picture picture(video(format, 511, 301), 1);
      picture.fill_smooth();
      PreprocessOptions options;
      options.canvas = {canvas, canvas};
      EXPECT_LE(error_of(picture, options, all(picture.info)).max, 0.15)
          << to_string(format) << " " << canvas;
    }
}

TEST_P(Kernel, TinyPicturesAgreeWithTheReference) {
  for (PixelFormat format : all_8_bit_formats())
    for (int width : {1, 2, 3, 5, 8, 15, 16, 17})
      for (int height : {1, 2, 3}) {
        Picture picture(video(format, width, height), 0);
        picture.fill_smooth();
        PreprocessOptions options;
        options.canvas = {19, 5}, options.rule = {Resize::letterbox}, options.pad_value = {114};
        EXPECT_LE(error_of(picture, options, all(picture.info)).max, 0.15)
            << to_string(format) << " " << width << "x" << height;
      }
}

TEST_P(Kernel, NoiseIsExactWhereTheWeightsAre) {
  // Weights across have 7 bits: at these scales that is enough.
  for (PixelFormat format : {PixelFormat::i420, PixelFormat::nv12, PixelFormat::y444, PixelFormat::rgb,
                             PixelFormat::bgr, PixelFormat::rgbx, PixelFormat::rgbp, PixelFormat::gray8})
    for (int width : {64, 96, 128, 240, 512}) {
      Picture picture(video(format, width, 100), 0);
      picture.fill_noise();
      PreprocessOptions options;
      options.canvas = {64, 77};
      EXPECT_LE(error_of(picture, options, all(picture.info)).max, 0.15) << to_string(format) << " " << width;
    }
}

TEST_P(Kernel, NoiseStaysWithinTheWeightsOtherwise) {
  // Half a weight step, 1/256, of black beside white, times the largest coefficients of a channel.
  for (PixelFormat format : {PixelFormat::i420, PixelFormat::rgb}) {
    Picture picture(video(format, 301, 207), 0);
    picture.fill_noise();
    PreprocessOptions options;
    options.canvas = {211, 120};
    const Error e = error_of(picture, options, all(picture.info));
    EXPECT_LE(e.max, format == PixelFormat::i420 ? 3.3 : 1.1);
    EXPECT_LE(e.mean, 0.3);
  }
}

TEST_P(Kernel, NearestTakesTheSampleInTheMiddle) {
  for (PixelFormat format : all_8_bit_formats())
    for (int canvas : {13, 50, 120}) {
      Picture picture(video(format, 101, 67), 2);
      picture.fill_noise();
      PreprocessOptions options;
      options.canvas = {canvas, canvas}, options.interpolation = Interpolation::nearest;
      EXPECT_LE(error_of(picture, options, {5, 3, 91, 64}).max, 0.05) << to_string(format) << " " << canvas;
    }
}

TEST_P(Kernel, EveryColorimetryAgreesWithTheReference) {
  for (ColorMatrix matrix : {ColorMatrix::bt601, ColorMatrix::bt709, ColorMatrix::bt2020})
    for (bool full_range : {false, true})
      for (ChannelOrder channels : {ChannelOrder::rgb, ChannelOrder::bgr}) {
        VideoInfo info = video(PixelFormat::y444, 256, 64);
        info.matrix = matrix, info.full_range = full_range;
        Picture picture(info, 0);
        picture.fill_noise();  // every corner of the cube, most of it outside of RGB
        PreprocessOptions options;
        options.canvas = {256, 64}, options.channels = channels;
        EXPECT_LE(error_of(picture, options, all(info)).max, 0.06) << int(matrix) << " " << full_range;
      }
}

TEST_P(Kernel, ExtremesNeitherWrapNorSaturateEarly) {
  for (bool full_range : {false, true})
    for (int y : {0, 16, 128, 235, 255})
      for (int u : {0, 128, 255})
        for (int v : {0, 128, 255}) {
          VideoInfo info = video(PixelFormat::i420, 32, 4);
          info.matrix = ColorMatrix::bt2020, info.full_range = full_range;
          Picture picture(info, 0);
          picture.fill([&](size_t plane, int, int, int) {
            return uint8_t(plane == 0 ? y : plane == 1 ? u : v);
          });
          PreprocessOptions options;
          options.canvas = {32, 4};
          EXPECT_LE(error_of(picture, options, all(info)).max, 0.06) << y << " " << u << " " << v;
        }
}

template <class T>
void check_type(DataType type, double least, double most, double tolerance) {
  for (int canvas : {5, 64, 75})
    for (bool planar : {false, true})
      for (bool normalised : {false, true}) {
        Picture picture(video(PixelFormat::rgb, 64, 48), 0);
        picture.fill_noise();
        PreprocessOptions options;
        options.canvas = {canvas, 48}, options.rule = {Resize::none}, options.planar = planar,
        options.type = type;
        options.pad_value = {200, 10, 30};
        if (normalised)
          options.range = {-100, 400}, options.mean = {10, -20, 30}, options.std = {2, 1, -1.5},
          options.scale = 1.25;
        Tensor3<T> tensor(options, 3);
        (*Preprocessor::make(picture.info, options))->run(picture.planes, all(picture.info), tensor.view);
        EXPECT_TRUE(tensor.guards_intact());
        for (int y = 0; y < 48; ++y)
          for (int x = 0; x < canvas; ++x)
            for (int c = 0; c < 3; ++c) {
              double v = x < 64 ? picture.at(0, x, y, c) : options.pad_value[size_t(c)];
              if (normalised)
                v = ((v / 255 * 500 - 100) / 1.25 - options.mean[size_t(c)]) / options.std[size_t(c)];
              v = std::clamp(v, least, most);
              double got = 0;
              if constexpr (std::is_same_v<T, uint16_t>)
                got = double(hwy::F32FromF16(hwy::float16_t::FromBits(tensor.at(x, y, c))));
              else
                got = double(tensor.at(x, y, c));
              ASSERT_NEAR(got, v, tolerance) << x << "," << y << "," << c << " normalised " << normalised;
            }
      }
}

TEST_P(Kernel, WritesFloat32) { check_type<float>(DataType::f32, -1e9, 1e9, 2e-4); }
TEST_P(Kernel, WritesFloat16) { check_type<uint16_t>(DataType::f16, -1e9, 1e9, 0.14); }
TEST_P(Kernel, WritesInt32RoundedToNearest) { check_type<int32_t>(DataType::i32, -1e9, 1e9, 0.501); }
TEST_P(Kernel, WritesUint8RoundedAndSaturated) { check_type<uint8_t>(DataType::u8, 0, 255, 0.501); }
TEST_P(Kernel, WritesInt8RoundedAndSaturated) { check_type<int8_t>(DataType::i8, -128, 127, 0.501); }

template <class T>
void check_rounding(DataType type, double offset) {
  Picture picture(video(PixelFormat::y444, 128, 96), 0);
  picture.fill_noise();
  for (bool planar : {false, true}) {
    PreprocessOptions options;
    options.canvas = {64, 77}, options.planar = planar, options.type = type, options.mean = {offset};
    Tensor3<T> tensor(options, 0);
    (*Preprocessor::make(picture.info, options))->run(picture.planes, all(picture.info), tensor.view);
    const Placement placement = place(options.rule, {1, 1}, all(picture.info), options.canvas);
    const Reference reference(picture, options, placement);
    for (int y = 0; y < 77; ++y)
      for (int x = 0; x < 64; ++x)
        for (int c = 0; c < 3; ++c)
          ASSERT_NEAR(double(tensor.at(x, y, c)), reference.pixel(x, y)[size_t(c)] - offset, 0.58);
  }
}

TEST_P(Kernel, IntegersAreRoundedToNearestAndNotCut) {
  check_rounding<uint8_t>(DataType::u8, 0);
  check_rounding<uint8_t>(DataType::u8, 1e-9);  // the general way
  check_rounding<int8_t>(DataType::i8, 128);
  check_rounding<int32_t>(DataType::i32, 0);
}

TEST_P(Kernel, CropsOfEverySizeShareOneInstance) {
  Picture picture(video(PixelFormat::nv12, 320, 240), 0);
  picture.fill_smooth();
  PreprocessOptions options;
  options.canvas = {64, 64};
  auto shared = *Preprocessor::make(picture.info, options);
  for (Crop crop : {Crop{0, 0, 320, 240}, Crop{3, 5, 10, 200}, Crop{300, 1, 20, 3}, Crop{4, 5, 10, 200},
                    Crop{0, 0, 320, 240}}) {
    Tensor3<float> once(options, 0), again(options, 0);
    shared->run(picture.planes, crop, once.view);
    (*Preprocessor::make(picture.info, options))->run(picture.planes, crop, again.view);
    EXPECT_EQ(once.values, again.values);
  }
}

TEST(Preprocessor, BicubicAndAreaOfAPlainPictureArePlain) {
  for (Interpolation interpolation : {Interpolation::bicubic, Interpolation::area})
    for (PixelFormat format : {PixelFormat::i420, PixelFormat::rgb, PixelFormat::gray8})
      for (int canvas : {1, 20, 200}) {
        Picture picture(video(format, 101, 67), 3);
        picture.fill([](size_t plane, int, int, int) { return uint8_t(plane == 0 ? 126 : 128); });
        PreprocessOptions options;
        options.canvas = {canvas, canvas}, options.interpolation = interpolation;
        Tensor3<float> tensor(options, 0);
        (*Preprocessor::make(picture.info, options))->run(picture.planes, {3, 5, 77, 41}, tensor.view);
        const double expected = format == PixelFormat::i420 ? 110 * 255.0 / 219 : 126;
        for (float v : tensor.values) ASSERT_NEAR(v, expected, 0.1);
      }
}

TEST(Preprocessor, AreaIsTheMeanOfWhatIsCovered) {
  Picture picture(video(PixelFormat::gray8, 8, 4), 0);
  picture.fill([](size_t, int x, int y, int) { return uint8_t(x * 10 + y * 40); });
  PreprocessOptions options;
  options.canvas = {2, 1}, options.interpolation = Interpolation::area, options.channels = ChannelOrder::gray;
  Tensor3<float> tensor(options, 0);
  (*Preprocessor::make(picture.info, options))->run(picture.planes, all(picture.info), tensor.view);
  EXPECT_NEAR(tensor.at(0, 0, 0), 75, 0.01);
  EXPECT_NEAR(tensor.at(1, 0, 0), 115, 0.01);
  // 2.5 samples wide, at 3: sample 3, 4 and half of 5.
  options.canvas = {2, 1};
  (*Preprocessor::make(picture.info, options))->run(picture.planes, {3, 0, 5, 1}, tensor.view);
  EXPECT_NEAR(tensor.at(0, 0, 0), (30 + 40 + 25) / 2.5, 0.01);
}

TEST(Preprocessor, BicubicFollowsARampAndOvershootsAtAnEdge) {
  Picture picture(video(PixelFormat::gray8, 16, 1), 0);
  picture.fill([](size_t, int x, int, int) { return uint8_t(x < 8 ? 50 : 200); });
  PreprocessOptions options;
  options.canvas = {32, 1}, options.interpolation = Interpolation::bicubic,
  options.channels = ChannelOrder::gray;
  Tensor3<float> tensor(options, 0);
  (*Preprocessor::make(picture.info, options))->run(picture.planes, all(picture.info), tensor.view);
  EXPECT_NEAR(tensor.at(0, 0, 0), 50, 0.01);
  // At 7.25 the taps are 6, 7, 8, 9; OpenCV's with a = -0.75.
  EXPECT_NEAR(tensor.at(15, 0, 0), 50 + 150 * (0.2617 - 0.0352), 0.1);
  EXPECT_LT(tensor.at(14, 0, 0), 50);
}

TEST(Preprocessor, RunNeverAllocatesWhateverTheCrop) {
  for (Interpolation interpolation : {Interpolation::bilinear, Interpolation::bicubic, Interpolation::area})
    for (PixelFormat format : {PixelFormat::nv12, PixelFormat::rgb}) {
      Picture picture(video(format, 320, 240), 0);
      PreprocessOptions options;
      options.canvas = {64, 48}, options.rule = {Resize::letterbox}, options.interpolation = interpolation;
      Tensor3<float> tensor(options, 0);
      auto pre = *Preprocessor::make(picture.info, options);
      const size_t before = allocation_count();
      for (Crop crop : {Crop{0, 0, 320, 240}, Crop{5, 5, 3, 200}, Crop{0, 9, 320, 2}, Crop{319, 239, 1, 1}})
        pre->run(picture.planes, crop, tensor.view);
      EXPECT_EQ(allocation_count(), before) << int(interpolation) << " " << to_string(format);
    }
}

TEST(Preprocessor, RefusesOptionsThatContradictEachOther) {
  const VideoInfo info = video(PixelFormat::i420, 64, 48);
  auto message = [&](auto change) {
    PreprocessOptions options;
    options.canvas = {32, 32};
    change(options);
    const auto made = Preprocessor::make(info, options);
    return made ? std::string() : made.error().message;
  };
  EXPECT_EQ(message([](auto&) {}), "");
  EXPECT_NE(message([](auto& o) { o.mean = {1, 2}; }).find("mean has 2 values"), std::string::npos);
  EXPECT_NE(message([](auto& o) { o.range = {1}; }).find("range"), std::string::npos);
  EXPECT_NE(message([](auto& o) { o.std = {1, 0, 1}; }).find("std is 0"), std::string::npos);
  EXPECT_NE(message([](auto& o) { o.scale = 0; }).find("scale"), std::string::npos);
  EXPECT_NE(message([](auto& o) { o.type = DataType::f64; }).find("float64"), std::string::npos);
  EXPECT_NE(message([](auto& o) { o.canvas = {0, 5}; }).find("0x5"), std::string::npos);
  EXPECT_NE(
      message([](auto& o) { o.channels = ChannelOrder::gray, o.pad_value = {1, 2, 3}; }).find("pad-value"),
      std::string::npos);
}

}  // namespace
}  // namespace sightglass
