#include "sightglass/elements/functions/rotated_overlap.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <opencv2/imgproc.hpp>

namespace sightglass {
namespace {

constexpr float right_angle = float(M_PI / 2);

TEST(RotatedIou, WithoutATurnItIsThePlainOne) {
  const Box a{0.1f, 0.1f, 0.4f, 0.2f}, b{0.3f, 0.2f, 0.4f, 0.2f};
  EXPECT_NEAR(rotated_iou(a, 0, b, 0), iou(a, b), 1e-6);
  EXPECT_NEAR(rotated_iou(a, 0, b, 0, 640, 480), iou(a, b), 1e-6);
  EXPECT_FLOAT_EQ(rotated_iou(a, 0, a, 0), 1);
}

TEST(RotatedIou, ByHand) {
  // A square and itself turned by 45 degrees: an octagon of 2·(√2 - 1) times its area.
  const double common = 2 * (std::sqrt(2.0) - 1);
  const Box square{0.25f, 0.25f, 0.5f, 0.5f};
  EXPECT_NEAR(rotated_iou(square, 0, square, float(M_PI / 4)), common / (2 - common), 1e-6);
  // A bar across itself: 1 of 2 + 2 - 1 squares… of 4 by 2: 4 of 12.
  const Box bar{0.2f, 0.3f, 0.4f, 0.2f};
  EXPECT_NEAR(rotated_iou(bar, 0, bar, right_angle), 4.0 / 12, 1e-6);
  // Where pixels are not square parts, the angle is one of pixels: 40 x 20 pixels of 100 x 200.
  const Box pixels{0.3f, 0.45f, 0.4f, 0.1f};
  EXPECT_NEAR(rotated_iou(pixels, 0, pixels, right_angle, 100, 200), 4.0 / 12, 1e-6);
  EXPECT_NEAR(rotated_iou(bar, 0.3f, bar, 0.3f + float(M_PI)), 1, 1e-5);
}

TEST(RotatedIou, WhatIsNoBoxOverlapsNothing) {
  const Box box{0.1f, 0.1f, 0.5f, 0.5f};
  EXPECT_EQ(rotated_iou(box, 0, {0.1f, 0.1f, 0, 0.5f}, 0), 0);
  EXPECT_EQ(rotated_iou(box, NAN, box, 0), 0);
  EXPECT_EQ(rotated_iou(box, 0, {NAN, 0, 1, 1}, 0), 0);
  EXPECT_EQ(rotated_iou(box, 0, {0, 0, INFINITY, 1}, 0), 0);
  EXPECT_EQ(rotated_iou(box, 0, {0.7f, 0.7f, 0.1f, 0.1f}, 1), 0);
  EXPECT_EQ(rotated_iou(box, 0, {0.6f, 0.1f, 0.2f, 0.5f}, 0), 0);  // side by side
}

// An independent judge: OpenCV's intersection of convex polygons.
TEST(RotatedIou, AgreesWithPolygonsClippedByOpenCv) {
  std::mt19937 random(7);
  std::uniform_real_distribution<float> place(0.3f, 0.6f), size(0.02f, 0.4f), angle(-7, 7);
  const float width = 1920, height = 1080;
  double worst = 0;
  int overlapping = 0;
  for (int i = 0; i < 5000; ++i) {
    const Box a{place(random), place(random), size(random), size(random)};
    const Box b{place(random), place(random), size(random), size(random)};
    const float turn_a = angle(random), turn_b = angle(random);
    const auto polygon = [&](const Box& box, float turn) {
      std::vector<cv::Point2f> corners(4);
      cv::RotatedRect({(box.x + box.w / 2) * width, (box.y + box.h / 2) * height},
                      {box.w * width, box.h * height}, turn * 180 / float(M_PI))
          .points(corners.data());
      return corners;
    };
    std::vector<cv::Point2f> common;
    const float both = cv::intersectConvexConvex(polygon(a, turn_a), polygon(b, turn_b), common);
    const float expected = both / (width * height * (a.area() + b.area()) - both);
    const float ours = rotated_iou(a, turn_a, b, turn_b, width, height);
    worst = std::max(worst, double(std::abs(ours - expected)));
    overlapping += ours > 0;
    EXPECT_NEAR(ours, rotated_iou(b, turn_b, a, turn_a, width, height), 1e-5);
  }
  EXPECT_GT(overlapping, 1000);
  EXPECT_LT(worst, 2e-3);
  RecordProperty("worst", std::to_string(worst));
}

}  // namespace
}  // namespace sightglass
