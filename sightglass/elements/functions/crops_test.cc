#include "sightglass/elements/functions/crops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <opencv2/imgproc.hpp>

namespace sightglass {
namespace {

void expect_box(const Box& box, float x, float y, float w, float h) {
  EXPECT_NEAR(box.x, x, 1e-6);
  EXPECT_NEAR(box.y, y, 1e-6);
  EXPECT_NEAR(box.w, w, 1e-6);
  EXPECT_NEAR(box.h, h, 1e-6);
}

TEST(CropExpand, GrowsAboutTheCentreToAnAspectAndIsClipped) {
  const PictureExtent wide{1000, 500};
  expect_box(crop_expand({0.4f, 0.4f, 0.2f, 0.2f}, 1.5f, 0, wide), 0.35f, 0.35f, 0.3f, 0.3f);
  expect_box(crop_expand({0.4f, 0.4f, 0.2f, 0.2f}, 0.5f, 0, wide), 0.45f, 0.45f, 0.1f, 0.1f);
  // 200 x 100 pixels to a square, then to four to one.
  expect_box(crop_expand({0.4f, 0.4f, 0.2f, 0.2f}, 1, 1, wide), 0.4f, 0.3f, 0.2f, 0.4f);
  expect_box(crop_expand({0.4f, 0.4f, 0.2f, 0.2f}, 1, 4, wide), 0.3f, 0.4f, 0.4f, 0.2f);
  expect_box(crop_expand({0, 0.9f, 0.2f, 0.1f}, 2, 0, wide), 0, 0.85f, 0.3f, 0.15f);
  expect_box(crop_expand({0.4f, 0.4f, 0.2f, 0.2f}, 1, 4, {}), 0.4f, 0.4f, 0.2f, 0.2f);  // size not known
  EXPECT_TRUE(std::isnan(crop_expand({NAN, 0, 1, 1}, 2, 0, wide).x));
  expect_box(crop_expand({0.1f, 0.1f, 0, 0.1f}, 2, 0, wide), 0.1f, 0.1f, 0, 0.1f);
}

TEST(Letterbox, FitsTheLongSide) {
  const Projection centred = letterbox(200, 100, 50, 50), corner = letterbox(200, 100, 50, 50, false);
  EXPECT_DOUBLE_EQ(centred({0, 12.5}).y, 0);
  EXPECT_DOUBLE_EQ(centred({50, 37.5}).x, 200);
  EXPECT_DOUBLE_EQ(centred({50, 37.5}).y, 100);
  EXPECT_DOUBLE_EQ(corner({0, 25}).y, 100);
  EXPECT_DOUBLE_EQ(letterbox(0, 1, 1, 1)({3, 4}).x, 3);
}

constexpr Pixel upright[5] = {
    {38.2946, 51.6963}, {73.5318, 51.5014}, {56.0252, 71.7366}, {41.5493, 92.3655}, {70.7299, 92.2041}};

TEST(AlignFace, FindsASimilarityThatIsThere) {
  const double scale = 1.7, angle = 0.4, x = 300, y = 120;
  std::vector<Pixel> landmarks;
  for (const Pixel& p : upright)
    landmarks.push_back({scale * (std::cos(angle) * p.x - std::sin(angle) * p.y) + x,
                         scale * (std::sin(angle) * p.x + std::cos(angle) * p.y) + y});
  const auto turn = align_face_5pt(landmarks, 112, 112);
  ASSERT_TRUE(turn);
  EXPECT_NEAR(turn->m[0], scale * std::cos(angle), 1e-9);
  EXPECT_NEAR(turn->m[3], scale * std::sin(angle), 1e-9);
  EXPECT_NEAR(turn->m[2], x, 1e-9);
  EXPECT_NEAR(turn->m[5], y, 1e-9);
  // A crop of twice the size is finer.
  EXPECT_NEAR(align_face_5pt(landmarks, 224, 224)->m[0], scale * std::cos(angle) / 2, 1e-9);
}

// The residual cannot be lowered: least squares.
TEST(AlignFace, IsTheBestOfAllSimilaritiesNearby) {
  std::vector<Pixel> landmarks(upright, upright + 5);
  landmarks[0].x += 6, landmarks[3].y -= 4, landmarks[4].x -= 5;
  const auto best = align_face_5pt(landmarks, 112, 112);
  ASSERT_TRUE(best);
  const auto residual = [&](const Projection& p) {
    double sum = 0;
    for (size_t i = 0; i < 5; ++i) {
      const Pixel at = p(upright[i]);
      sum += std::pow(at.x - landmarks[i].x, 2) + std::pow(at.y - landmarks[i].y, 2);
    }
    return sum;
  };
  const double least = residual(*best);
  for (const double step : {-1e-3, 1e-3}) {
    for (int change = 0; change < 4; ++change) {
      Projection other = *best;
      if (change == 0) other.m[0] += step, other.m[4] += step;
      if (change == 1) other.m[1] -= step, other.m[3] += step;
      if (change == 2) other.m[2] += step;
      if (change == 3) other.m[5] += step;
      EXPECT_GT(residual(other), least);
    }
  }
}

TEST(AlignFace, RefusesWhatIsNoFace) {
  EXPECT_FALSE(align_face_5pt({}, 112, 112));
  EXPECT_FALSE(align_face_5pt(std::vector<Pixel>(5, Pixel{3, 3}), 112, 112));
  EXPECT_FALSE(align_face_5pt(std::vector<Pixel>{{0, 0}, {1, 0}, {NAN, 1}, {0, 2}, {1, 2}}, 112, 112));
  EXPECT_FALSE(align_face_5pt(std::vector<Pixel>(upright, upright + 5), 0, 112));
}

TEST(WarpPlate, LaysCornersOnCorners) {
  const std::vector<Pixel> corners = {{100, 50}, {300, 80}, {290, 160}, {110, 120}};
  const auto plate = warp_plate(corners, 96, 32);
  ASSERT_TRUE(plate);
  const Pixel at[4] = {{0, 0}, {96, 0}, {96, 32}, {0, 32}};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_NEAR((*plate)(at[i]).x, corners[i].x, 1e-6);
    EXPECT_NEAR((*plate)(at[i]).y, corners[i].y, 1e-6);
  }
  // OpenCV's, as an independent judge.
  const cv::Point2f from[4] = {{0, 0}, {96, 0}, {96, 32}, {0, 32}},
                    to[4] = {{100, 50}, {300, 80}, {290, 160}, {110, 120}};
  const cv::Mat reference = cv::getPerspectiveTransform(from, to);
  for (int i = 0; i < 9; ++i) EXPECT_NEAR(plate->m[i], reference.at<double>(i / 3, i % 3), 1e-4);
  EXPECT_FALSE(
      warp_plate(std::vector<Pixel>{{0, 0}, {0, 1}, {1, 1}, {1, 0}}, 96, 32));  // the other way round
  EXPECT_FALSE(warp_plate(std::vector<Pixel>{{0, 0}, {2, 0}, {0.5, 0.5}, {0, 2}}, 96, 32));  // dented
  EXPECT_FALSE(warp_plate(std::vector<Pixel>{{0, 0}, {1, 0}, {2, 0}, {3, 0}}, 96, 32));
  EXPECT_FALSE(warp_plate(std::vector<Pixel>(3), 96, 32));
}

TEST(Warp, SamplesAsOpenCvDoes) {
  cv::Mat picture(120, 160, CV_8UC3);
  cv::randu(picture, 0, 255);
  cv::GaussianBlur(picture, picture, {5, 5}, 1.5);
  const auto plate = warp_plate(std::vector<Pixel>{{20, 30}, {130, 20}, {140, 90}, {30, 110}}, 64, 48);
  ASSERT_TRUE(plate);
  cv::Mat made(48, 64, CV_8UC3), reference;
  warp({picture.data, ptrdiff_t(picture.step), 160, 120, 3}, *plate,
       {made.data, ptrdiff_t(made.step), 64, 48, 3});
  // OpenCV's coordinates are those of pixels' middles.
  const cv::Matx33d shift(1, 0, 0.5, 0, 1, 0.5, 0, 0, 1), back(1, 0, -0.5, 0, 1, -0.5, 0, 0, 1);
  cv::warpPerspective(picture, reference, back * cv::Matx33d(plate->m) * shift, {64, 48},
                      cv::INTER_LINEAR | cv::WARP_INVERSE_MAP, cv::BORDER_REPLICATE);
  cv::Mat difference;
  cv::absdiff(made, reference, difference);
  double most = 0;
  cv::minMaxLoc(difference.reshape(1), nullptr, &most);
  EXPECT_LE(most, 4);  // it rounds places to 1/32 of a pixel
}

TEST(Warp, OutsideIsBorder) {
  uint8_t from[4] = {10, 20, 30, 40}, to[9] = {};
  warp({from, 2, 2, 2, 1}, {{1, 0, -0.5, 0, 1, -0.5, 0, 0, 1}}, {to, 3, 3, 3, 1}, 99);
  EXPECT_EQ(to[4], 25);  // the middle of the four
  EXPECT_EQ(to[0], 10);  // the edge goes on for half a pixel
  warp({from, 2, 2, 2, 1}, {{1, 0, -5, 0, 1, 0, 0, 0, 1}}, {to, 3, 3, 3, 1}, 99);
  EXPECT_EQ(to[0], 99);
  warp({from, 2, 2, 2, 1}, {{NAN, 0, 0, 0, 1, 0, 0, 0, 1}}, {to, 3, 3, 3, 1}, 77);
  EXPECT_EQ(to[0], 77);
}

TEST(AffineOf, ASimilarityIsExactAndAPerspectiveNearest) {
  const Projection fit = letterbox(200, 100, 50, 50);
  expect_box(apply(affine(fit, 50, 50, {200, 100}), {0, 0.25f, 1, 0.5f}), 0, 0, 1, 1);
  const auto plate = warp_plate(std::vector<Pixel>{{0, 0}, {100, 0}, {110, 60}, {-10, 60}}, 96, 32);
  const Affine near = affine(*plate, 96, 32, {200, 100});
  expect_box(apply(near, {0, 0, 1, 1}), -5.0f / 200, 0, 110.0f / 200, 60.0f / 100);
}

}  // namespace
}  // namespace sightglass
