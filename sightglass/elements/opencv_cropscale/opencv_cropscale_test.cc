#include "sightglass/elements/opencv_cropscale/opencv_cropscale.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

Frame noise(PixelFormat format, int width, int height) {
  Frame frame = test::picture(format, width, height, 4);
  std::minstd_rand random(3);
  test::fill(frame, [&](int, int, int) { return (random() >> 8) & 255; });
  return frame;
}

struct Scaled {
  std::string error;
  Frame frame;
  bool gap = false;
};
Scaled scale(const Frame& frame, int width, int height, const test::Settings& settings = {}) {
  auto element = test::make<Transform>("opencv_cropscale", settings);
  Format output;
  output.media = VideoInfo{.format = frame.video->format, .width = width, .height = height};
  test::Collected out(output);
  if (auto started = element->start(); !started) return {started.error().message, {}};
  if (auto configured = element->configure(test::format_of_picture(frame), output); !configured)
    return {configured.error().message, {}};
  if (auto done = element->process(frame, out); !done) return {done.error().message, {}};
  if (out.is_gap(0)) return {"", {}, true};
  return {"", out.frame(0)};
}

std::vector<uint8_t> bytes(const Frame& frame, size_t plane = 0) {
  return test::values_of<uint8_t>(frame.tensors.at(plane));
}

// Largest difference to OpenCV's resize of the same rectangle.
int difference_to_opencv(const Frame& from, const Crop& crop, const Frame& made, int method) {
  auto mapping = map(from.tensors[0], Access::read).value();
  const int channels = int(plane_layout(from.video->format, 0).pixel_bytes);
  const cv::Mat picture(from.video->height, from.video->width, CV_8UC(channels), mapping.data(),
                        size_t(mapping.strides()[0]));
  cv::Mat resized;
  cv::resize(picture(cv::Rect(crop.x, crop.y, crop.w, crop.h)), resized,
             cv::Size(made.video->width, made.video->height), 0, 0, method);
  const std::vector<uint8_t> ours = bytes(made);
  int largest = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    const int y = int(i) / resized.cols / channels, x = int(i) - y * resized.cols * channels;
    largest = std::max(largest, std::abs(ours[i] - resized.ptr<uint8_t>(y)[x]));
  }
  return largest;
}

TEST(Cropscale, EqualsOpencvWithinAGreyLevel) {
  const std::pair<const char*, int> methods[] = {{"default", cv::INTER_LINEAR},
                                                 {"bilinear", cv::INTER_LINEAR},
                                                 {"nearest", cv::INTER_NEAREST_EXACT},
                                                 {"bicubic", cv::INTER_CUBIC},
                                                 {"area", cv::INTER_AREA}};
  for (PixelFormat format : {PixelFormat::rgb, PixelFormat::bgrx, PixelFormat::gray8}) {
    for (auto [name, method] : methods) {
      // No size puts a sample exactly between two pixels, where "nearest" is a matter of rounding.
      for (const Size size : {Size{32, 16}, Size{96, 80}, Size{32, 64}}) {
        // OpenCV's "area" is another method where the picture grows.
        if (method == cv::INTER_AREA && (size.width > 60 || size.height > 40)) continue;
        Frame frame = noise(format, 60, 40);
        EXPECT_LE(
            difference_to_opencv(frame, {0, 0, 60, 40},
                                 scale(frame, size.width, size.height, {{"method", name}}).frame, method),
            1)
            << name;
        frame.crop = Crop{7, 5, 41, 33};
        if (method == cv::INTER_AREA && (size.width > 41 || size.height > 33)) continue;
        EXPECT_LE(
            difference_to_opencv(frame, *frame.crop,
                                 scale(frame, size.width, size.height, {{"method", name}}).frame, method),
            1)
            << name;
      }
    }
  }
}

TEST(Cropscale, LanczosKeepsWhatIsFlatAndFollowsOpencv) {
  Frame frame = noise(PixelFormat::gray8, 60, 40);
  EXPECT_LE(difference_to_opencv(frame, {0, 0, 60, 40}, scale(frame, 45, 31, {{"method", "lanczos"}}).frame,
                                 cv::INTER_LANCZOS4),
            2);
  test::fill(frame, [](int, int, int) { return 77; });
  const auto values = bytes(scale(frame, 45, 31, {{"method", "lanczos"}}).frame);
  EXPECT_EQ(std::ranges::count(values, 77), int64_t(values.size()));
}

TEST(Cropscale, TheSameSizeIsTheSamePicture) {
  for (PixelFormat format : all_8_bit_formats()) {
    const Frame frame = noise(format, 33, 17);
    const Frame made = scale(frame, 33, 17).frame;
    for (size_t plane = 0; plane < frame.tensors.size(); ++plane)
      EXPECT_EQ(bytes(made, plane), bytes(frame, plane)) << to_string(format);
    EXPECT_FALSE(made.affine);
  }
}

TEST(Cropscale, TheCropRectangleIsWhatCounts) {
  Frame frame = test::picture(PixelFormat::gray8, 8, 8);
  test::fill(frame, [](int, int y, int x) { return x >= 2 && x < 6 && y >= 4 ? 200 : 10; });
  frame.crop = Crop{2, 4, 4, 4};
  const Frame made = scale(frame, 2, 2).frame;
  EXPECT_EQ(bytes(made), (std::vector<uint8_t>{200, 200, 200, 200}));
  EXPECT_FALSE(made.crop);
}

TEST(Cropscale, WritesTheMatrixBackToTheFullPicture) {
  Frame frame = noise(PixelFormat::rgb, 200, 100);
  frame.crop = Crop{50, 20, 100, 40};
  Affine made = scale(frame, 10, 10).frame.affine.value();
  EXPECT_EQ(made, (Affine{{.5, 0, .25, 0, .4, .2}}));
  // One that is there already is multiplied.
  frame.affine = Affine{{.5, 0, .5, 0, .5, 0}};
  made = scale(frame, 10, 10).frame.affine.value();
  EXPECT_DOUBLE_EQ(made.m[0], .25);
  EXPECT_DOUBLE_EQ(made.m[2], .625);
  EXPECT_DOUBLE_EQ(made.m[5], .1);
}

TEST(Cropscale, WithBordersThePictureSitsTopLeft) {
  Frame frame = test::picture(PixelFormat::rgb, 8, 4);
  test::fill(frame, [](int, int, int) { return 200; });
  Scaled made = scale(frame, 4, 4, {{"add-borders", "true"}, {"pad-value", "<1,2,3>"}});
  const auto values = bytes(made.frame);
  EXPECT_EQ(values[0], 200);
  EXPECT_EQ(values[2 * 12 - 1], 200);
  EXPECT_EQ((std::vector(values.end() - 12, values.end())),
            (std::vector<uint8_t>{1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3}));
  EXPECT_EQ(made.frame.affine, (Affine{{1, 0, 0, 0, 2, 0}}));
  // Right of it when the picture is tall.
  frame = test::picture(PixelFormat::gray8, 4, 8);
  test::fill(frame, [](int, int, int) { return 200; });
  EXPECT_EQ(bytes(scale(frame, 4, 4, {{"add-borders", "true"}}).frame),
            (std::vector<uint8_t>{200, 200, 0, 0, 200, 200, 0, 0, 200, 200, 0, 0, 200, 200, 0, 0}));
}

TEST(Cropscale, BordersAreClearedOnEveryFrame) {
  auto element = test::make<Transform>("opencv_cropscale", {{"add-borders", "true"}});
  Frame wide = test::picture(PixelFormat::gray8, 8, 8);
  test::fill(wide, [](int, int, int) { return 200; });
  // Always the same memory, as a pool of one gives it.
  struct Same final : Output {
    Frame made = test::picture(PixelFormat::gray8, 4, 4);
    Status allocate(Frame& frame) override {
      frame.tensors = made.tensors;
      return {};
    }
    Status push(const Frame&) override { return {}; }
    Status gap(const Gap&) override { return {}; }
  } out;
  ASSERT_TRUE(element->configure(test::format_of_picture(wide), test::format_of_picture(out.made)));
  ASSERT_TRUE(element->process(wide, out));
  EXPECT_EQ(bytes(out.made).back(), 200);
  wide.crop = Crop{0, 0, 8, 4};
  ASSERT_TRUE(element->process(wide, out));
  EXPECT_EQ(bytes(out.made).back(), 0);
  EXPECT_EQ(bytes(out.made)[0], 200);
}

TEST(Cropscale, YuvPicturesAndTheirBorders) {
  for (PixelFormat format : {PixelFormat::i420, PixelFormat::nv12, PixelFormat::yv12, PixelFormat::y444}) {
    Frame frame = test::picture(format, 8, 4);
    test::fill(frame, [](int p, int, int) { return 60 + p; });
    const Frame made = scale(frame, 6, 6, {{"add-borders", "true"}}).frame;
    EXPECT_EQ(bytes(made, 0).front(), 60);
    EXPECT_EQ(bytes(made, 0).back(), 16);  // black
    EXPECT_EQ(bytes(made, 1).front(), 61);
    EXPECT_EQ(bytes(made, 1).back(), 128);
  }
}

TEST(Cropscale, OddCropsOfSubsampledPictures) {
  Frame frame = noise(PixelFormat::i420, 33, 17);
  frame.crop = Crop{31, 15, 2, 2};
  test::fill(frame, [](int p, int, int) { return 60 + p; });
  for (const char* method : {"nearest", "bilinear", "bicubic", "area", "lanczos"}) {
    for (const Crop& crop :
         {Crop{31, 15, 2, 2}, Crop{32, 16, 1, 1}, Crop{1, 1, 31, 15}, Crop{0, 0, 33, 17}}) {
      frame.crop = crop;
      const Frame made = scale(frame, 7, 5, {{"method", method}}).frame;
      for (size_t p = 0; p < 3; ++p) {
        const auto values = bytes(made, p);
        EXPECT_EQ(std::ranges::count(values, 60 + int(p)), int64_t(values.size())) << method;
      }
    }
  }
}

TEST(Cropscale, ARegionGrowsAboutItsCentre) {
  Frame frame = test::picture(PixelFormat::gray8, 100, 100);
  frame.source = SourceId{.roi = 0};
  frame.regions.resize(1);
  frame.regions[0].box = {.405f, .4f, .2f, .2f};  // 40.5 to 60.5
  frame.crop = Crop{40, 40, 21, 20};
  const Affine made = scale(frame, 10, 10, {{"roi-expand", "2"}}).frame.affine.value();
  EXPECT_NEAR(made.m[2], .30, 1e-6);  // 30.5 to 70.5
  EXPECT_NEAR(made.m[0], .41, 1e-6);
  EXPECT_NEAR(made.m[4], .40, 1e-6);
}

TEST(Cropscale, RegionsMoveAlong) {
  Frame frame = test::picture(PixelFormat::gray8, 100, 100);
  frame.crop = Crop{50, 0, 50, 100};
  frame.regions.resize(1);
  frame.regions[0].box = {.5f, .25f, .25f, .5f};
  EXPECT_EQ(scale(frame, 10, 10).frame.regions.at(0).box, (Box{0, .25f, .5f, .5f}));
}

TEST(Cropscale, PointsAndMasksMoveAlong) {
  Frame frame = noise(PixelFormat::gray8, 40, 20);
  frame.crop = Crop{20, 0, 20, 20};
  Region face{.id = 0, .box = {0.5f, 0, 0.25f, 1}};
  face.attributes = with(
      nullptr,
      {.name = Label("points"), .kind = AttributeKind::keypoints, .values = {0.75f, 0.5f, 0.9f, -1, -1, 0}});
  face.attributes = with(face.attributes,
                         {.name = Label("mask"), .kind = AttributeKind::mask, .values = {0.5f, 0, 0.25f, 1}});
  face.attributes = with(face.attributes, {.name = Label("age"), .kind = AttributeKind::number, .number = 3});
  frame.regions = {face};
  const Frame made = scale(frame, 10, 10).frame;
  const AttributesRef& list = made.regions.at(0).attributes;
  EXPECT_EQ(list->find("points")->values, (std::vector<float>{0.5f, 0.5f, 0.9f, -1, -1, 0}));
  EXPECT_EQ(list->find("mask")->values, (std::vector<float>{0, 0, 0.5f, 1}));
  EXPECT_EQ(list->find("age")->number, 3);
}

TEST(Cropscale, PicturesOf16BitsAreResizedInTheirOwnDepth) {
  Frame frame = test::picture(PixelFormat::gray16, 60, 40, 4);
  std::minstd_rand random(5);
  test::fill(frame, [&](int, int, int) { return (random() >> 8) & 255; });
  const Frame made = scale(frame, 32, 16).frame;
  auto from = map(frame.tensors[0], Access::read).value();
  const cv::Mat picture(40, 60, CV_16UC1, from.data(), size_t(from.strides()[0]));
  cv::Mat resized;
  cv::resize(picture, resized, cv::Size(32, 16), 0, 0, cv::INTER_LINEAR);
  auto to = map(made.tensors[0], Access::read).value();
  for (int y = 0; y < 16; ++y)
    for (int x = 0; x < 32; ++x) {
      const auto* row = reinterpret_cast<const uint16_t*>(to.data() + y * to.strides()[0]);
      EXPECT_NEAR(row[x], resized.at<uint16_t>(y, x), 1) << x << "," << y;
    }
}

TEST(Cropscale, BordersOfP010AreBlack) {
  Frame frame = test::picture(PixelFormat::p010, 32, 16, 4);
  test::fill(frame, [](int, int, int) { return 200; });
  const Frame made = scale(frame, 16, 16, {{"add-borders", "true"}}).frame;
  const auto luma = bytes(made, 0), chroma = bytes(made, 1);
  EXPECT_EQ(luma[15 * 32 + 1], 16) << "in the upper byte";
  EXPECT_EQ(chroma[7 * 32 + 1], 128);
  EXPECT_EQ(luma[1], 200);
}

TEST(Cropscale, ACropOutsideThePictureIsAGap) {
  Frame frame = test::picture(PixelFormat::gray8, 10, 10);
  frame.crop = Crop{20, 0, 5, 5};
  EXPECT_TRUE(scale(frame, 4, 4).gap);
}

TEST(Cropscale, OnePixelBecomesAPicture) {
  Frame frame = test::picture(PixelFormat::rgb, 1, 1);
  test::fill(frame, [](int, int, int x) { return 10 + x; });
  for (const char* method : {"nearest", "bilinear", "bicubic", "area", "lanczos"})
    EXPECT_EQ(bytes(scale(frame, 2, 1, {{"method", method}}).frame),
              (std::vector<uint8_t>{10, 11, 12, 10, 11, 12}))
        << method;
}

TEST(Cropscale, WrongParametersAndFormatsAreErrors) {
  const Frame frame = test::picture(PixelFormat::rgb, 4, 4);
  EXPECT_NE(scale(frame, 2, 2, {{"pad-value", "<1,2>"}}).error.find("pad-value"), std::string::npos);
  auto element = test::make<Transform>("opencv_cropscale");
  EXPECT_FALSE(element->configure(test::format_of_picture(frame),
                                  test::format_of_picture(test::picture(PixelFormat::bgr, 4, 4))));
  EXPECT_FALSE(element->configure({}, {}));
}

TEST(Cropscale, OffersEverySizeOfTheSameFormats) {
  OpencvCropscale element({});
  const auto specs = element.transform_format(
      Direction::input, {VideoSpec{{PixelFormat::bgr}, IntRange::exactly(4), IntRange::exactly(4)}});
  ASSERT_EQ(specs.size(), 1u);
  const auto& video = std::get<VideoSpec>(specs[0].media);
  EXPECT_EQ(video.formats, std::vector{PixelFormat::bgr});
  EXPECT_FALSE(video.width.fixed());
  EXPECT_TRUE(element.transform_format(Direction::input, {TensorsSpec{}}).empty());
}

}  // namespace
}  // namespace sightglass
