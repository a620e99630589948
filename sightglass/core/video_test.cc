#include "sightglass/core/video.h"

#include <gtest/gtest.h>

namespace sightglass {
namespace {

TEST(PixelFormat, IsFoundByItsName) {
  for (PixelFormat format : all_pixel_formats()) EXPECT_EQ(pixel_format(to_string(format)), format);
  EXPECT_EQ(to_string(PixelFormat::bgrx), "BGRx");
  EXPECT_EQ(to_string(PixelFormat::gray8), "GRAY8");
  EXPECT_FALSE(pixel_format("rgb"));
  EXPECT_FALSE(pixel_format(""));
}

TEST(PixelFormat, KnowsItsPlanes) {
  EXPECT_EQ(plane_count(PixelFormat::i420), 3u);
  EXPECT_EQ(plane_count(PixelFormat::nv12), 2u);
  EXPECT_EQ(plane_count(PixelFormat::rgba), 1u);
  EXPECT_EQ(plane_count(PixelFormat::rgbp), 3u);
  EXPECT_EQ(plane_layout(PixelFormat::nv21, 1).pixel_bytes, 2);
  EXPECT_EQ(plane_layout(PixelFormat::bgr, 0).pixel_bytes, 3);
  EXPECT_TRUE(is_yuv(PixelFormat::y42b));
  EXPECT_FALSE(is_yuv(PixelFormat::gray8));
}

TEST(PixelFormat, RoundsTheChromaOfOddPicturesUp) {
  const VideoInfo i420{.format = PixelFormat::i420, .width = 5, .height = 3};
  EXPECT_EQ(plane_width(i420, 0), 5);
  EXPECT_EQ(plane_height(i420, 0), 3);
  EXPECT_EQ(plane_width(i420, 2), 3);
  EXPECT_EQ(plane_height(i420, 2), 2);
  const VideoInfo y42b{.format = PixelFormat::y42b, .width = 1, .height = 1};
  EXPECT_EQ(plane_width(y42b, 1), 1);
  EXPECT_EQ(plane_height(y42b, 1), 1);
  const VideoInfo y444{.format = PixelFormat::y444, .width = 7, .height = 5};
  EXPECT_EQ(plane_width(y444, 1), 7);
}

}  // namespace
}  // namespace sightglass
