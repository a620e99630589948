#include "sightglass/elements/video_to_tensor/geometry.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace sightglass {
namespace {

VideoInfo picture(int width, int height, Fraction aspect = {1, 1}) {
  VideoInfo info;
  info.width = width, info.height = height, info.pixel_aspect = aspect;
  return info;
}

Placement whole(Resize resize, const VideoInfo& video, Size canvas) {
  return place({resize}, video.pixel_aspect, {0, 0, video.width, video.height}, canvas);
}

TEST(Geometry, StretchIsExactlyTheIdentity) {
  for (int width : {1, 3, 417, 768, 1921, 7680}) {
    const VideoInfo video = picture(width, width / 2 + 1);
    EXPECT_TRUE(affine(whole(Resize::stretch, video, {416, 413}), video).identity()) << width;
  }
}

TEST(Geometry, LetterboxIsCentredAndRoundsAsTheReferenceDoes) {
  const Placement p = whole(Resize::letterbox, picture(768, 576), {416, 416});
  EXPECT_EQ(p.x, (AxisMap{0, 768, 416, 0, 416, 0, 416}));
  EXPECT_EQ(p.y, (AxisMap{0, 576, 312, 0, 312, 52, 416}));
  const Placement tall = whole(Resize::letterbox, picture(810, 1080), {640, 641});
  EXPECT_EQ(tall.x, (AxisMap{0, 810, 481, 0, 481, 79, 640}));  // 480.75; floor(159 / 2)
}

TEST(Geometry, LetterboxTopLeftStartsInTheCorner) {
  const Placement p = whole(Resize::letterbox_topleft, picture(1280, 720), {416, 416});
  EXPECT_EQ(p.y, (AxisMap{0, 720, 234, 0, 234, 0, 416}));
}

TEST(Geometry, LetterboxMakesPixelsSquare) {
  const Placement p = whole(Resize::letterbox, picture(720, 576, {16, 11}), {512, 512});
  EXPECT_EQ(p.x.scaled, 512);
  EXPECT_EQ(p.y.scaled, 282);  // 576 / (720 · 16 / 11) · 512
}

TEST(Geometry, CropKeepsTheMiddleOfTheLongSide) {
  const VideoInfo video = picture(640, 480);
  const Placement p = whole(Resize::crop, video, {224, 224});
  EXPECT_EQ(p.x, (AxisMap{0, 640, 299, 37, 224, 0, 224}));
  EXPECT_EQ(p.y, (AxisMap{0, 480, 224, 0, 224, 0, 224}));
  const Box box = apply(affine(p, video), {0, 0, 1, 1});
  EXPECT_NEAR(box.x, 37.0 / 299, 1e-6);
  EXPECT_NEAR(box.w, 224.0 / 299, 1e-6);
}

TEST(Geometry, CropKeepsAShareOfTheShortSide) {
  // As a classifier's recipe has it: the short side to 256, the centre of 224.
  const Placement p = place({.resize = Resize::crop, .share = 0.875}, {1, 1}, {0, 0, 810, 1080}, {224, 224});
  EXPECT_EQ(p.x, (AxisMap{0, 810, 256, 16, 224, 0, 224}));
  EXPECT_EQ(p.y, (AxisMap{0, 1080, 341, 58, 224, 0, 224}));
}

TEST(Geometry, NoneCutsOrPads) {
  const Placement p = place({Resize::none}, {4, 3}, {10, 20, 30, 100}, {40, 50});
  EXPECT_EQ(p.x, (AxisMap{10, 30, 30, 0, 30, 0, 40}));
  EXPECT_EQ(p.y, (AxisMap{20, 100, 100, 0, 50, 0, 50}));
}

TEST(Geometry, MultipleRoundsBothSidesWithinTheLimit) {
  EXPECT_EQ(*canvas_size({Resize::multiple, 32}, picture(556, 257), {}), (Size{544, 256}));
  EXPECT_EQ(*canvas_size({Resize::multiple, 32}, picture(1920, 1080), {960, 960}), (Size{960, 544}));
  EXPECT_EQ(*canvas_size({Resize::multiple, 32}, picture(3, 3), {}), (Size{32, 32}));
}

TEST(Geometry, FitHeightPadsOnTheRight) {
  const ResizeRule rule{Resize::fit_height, 32};
  EXPECT_EQ(*canvas_size(rule, picture(200, 50), {0, 48}), (Size{192, 48}));
  EXPECT_EQ(*canvas_size(rule, picture(201, 50), {0, 48}), (Size{224, 48}));
  EXPECT_EQ(*canvas_size({Resize::fit_height, 32, 320}, picture(200, 50), {0, 48}), (Size{320, 48}));
  const Placement p = place(rule, {1, 1}, {0, 0, 201, 50}, {224, 48});
  EXPECT_EQ(p.x, (AxisMap{0, 201, 193, 0, 193, 0, 224}));
  EXPECT_EQ(place(rule, {1, 1}, {0, 0, 2000, 50}, {224, 48}).x.scaled, 224);
}

TEST(Geometry, UnknownSizeIsAnErrorThatNamesTheCure) {
  const auto size = canvas_size({Resize::letterbox}, picture(10, 10), {416, 0});
  ASSERT_FALSE(size);
  EXPECT_NE(size.error().message.find("width and height"), std::string::npos);
  EXPECT_FALSE(canvas_size({Resize::fit_height}, picture(10, 10), {320, 0}));
}

TEST(Geometry, AffineOfALetterboxedRegionPointsIntoTheFullPicture) {
  const VideoInfo video = picture(1000, 500);
  // 200x100 at 400, 100 into 100x100: 100x50, 25 down.
  const Affine a = affine(place({Resize::letterbox}, {1, 1}, {400, 100, 200, 100}, {100, 100}), video);
  const Box box = apply(a, {0, 0.25f, 1, 0.5f});
  EXPECT_NEAR(box.x, 0.4, 1e-6);
  EXPECT_NEAR(box.y, 0.2, 1e-6);
  EXPECT_NEAR(box.w, 0.2, 1e-6);
  EXPECT_NEAR(box.h, 0.2, 1e-6);
}

TEST(Geometry, GrowRoundsOutwardsAndClips) {
  const VideoInfo video = picture(100, 100);
  EXPECT_EQ(grow(Box{0.25f, 0.25f, 0.5f, 0.25f}, 1, video), (Crop{25, 25, 50, 25}));
  EXPECT_EQ(grow(Box{0.25f, 0.25f, 0.5f, 0.25f}, 1.5, video),
            (Crop{12, 18, 76, 39}));  // 12.5..87.5, 18.75..56.25
  EXPECT_EQ(grow(Box{0.25f, 0.25f, 0.5f, 0.25f}, 10, video), (Crop{0, 0, 100, 100}));
  EXPECT_EQ(grow(Box{1.5f, 0, 0.5f, 0.5f}, 1, video).w, 0);
  EXPECT_EQ(grow(Box{-1, 0, 0.5f, 0.5f}, 1, video).w, 0);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(grow(Box{nan, nan, nan, nan}, 1, video).w, 0);
}

TEST(Geometry, ClipSurvivesHostileRectangles) {
  const VideoInfo video = picture(100, 50);
  constexpr int most = std::numeric_limits<int>::max(), least = std::numeric_limits<int>::min();
  EXPECT_EQ(clip({-10, -10, 30, 200}, video), (Crop{0, 0, 20, 50}));
  EXPECT_EQ(clip({most, 0, most, most}, video).w, 0);
  EXPECT_EQ(clip({least, 0, most, 1}, video).w, 0);
  EXPECT_EQ(clip({5, 5, -3, 4}, video).w, 0);
}

}  // namespace
}  // namespace sightglass
