#include "sightglass/elements/functions/vectors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace sightglass {
namespace {

using testing::ElementsAre;
using testing::FloatNear;
using Values = std::vector<float>;

Values softmax_of(Values values, float temperature = 1) {
  softmax(values, temperature);
  return values;
}
auto near(double value) { return FloatNear(float(value), 1e-6f); }

TEST(Softmax, ByHand) {
  const double e = std::exp(1.0), sum = 1 + e + e * e;
  EXPECT_THAT(softmax_of({0, 1, 2}), ElementsAre(near(1 / sum), near(e / sum), near(e * e / sum)));
  EXPECT_THAT(softmax_of({0, 2, 4}, 2), ElementsAre(near(1 / sum), near(e / sum), near(e * e / sum)));
  EXPECT_THAT(softmax_of({5}), ElementsAre(1));
  EXPECT_TRUE(softmax_of({}).empty());
}

TEST(Softmax, IsStableAndTakesAnything) {
  EXPECT_THAT(softmax_of({1e4f, 1e4f, -1e4f}), ElementsAre(near(0.5), near(0.5), near(0)));
  EXPECT_THAT(softmax_of({3e38f, -3e38f}), ElementsAre(near(1), near(0)));
  EXPECT_THAT(softmax_of({NAN, 1, -INFINITY, 1}), ElementsAre(0, near(0.5), 0, near(0.5)));
  EXPECT_THAT(softmax_of({INFINITY, 1, INFINITY}), ElementsAre(near(0.5), 0, near(0.5)));
  EXPECT_THAT(softmax_of({NAN, -INFINITY}), ElementsAre(0, 0));
}

TEST(Softmax, AlongAnAxis) {
  Values values = {0, 5, 1, 0, 5, 0};  // 2 x 3
  ASSERT_TRUE(softmax(values, {2, 3}, 0));
  const double e = std::exp(1.0), half = std::exp(5.0) / (1 + std::exp(5.0));
  EXPECT_NEAR(values[0], 0.5, 1e-6);
  EXPECT_NEAR(values[1], 0.5, 1e-6);
  EXPECT_NEAR(values[2], e / (1 + e), 1e-6);
  EXPECT_NEAR(values[5], 1 / (1 + e), 1e-6);
  values = {0, 5, 5, 0};
  ASSERT_TRUE(softmax(values, {2, 2}, -1));
  EXPECT_NEAR(values[1], half, 1e-6);
  EXPECT_NEAR(values[2], half, 1e-6);
  EXPECT_FALSE(softmax(values, {2, 2}, 2));
  EXPECT_FALSE(softmax(values, {3, 2}, 0));
  EXPECT_FALSE(softmax(values, {-1, 2}, 0));
  EXPECT_FALSE(softmax(values, {}, 0));
  Values none;
  EXPECT_TRUE(softmax(none, {0, 3}, 1));
}

TEST(L2Normalize, LengthOneAndZeroUnchanged) {
  Values values = {3, -4};
  EXPECT_TRUE(l2_normalize(values));
  EXPECT_THAT(values, ElementsAre(near(0.6), near(-0.8)));
  values = {0, 0};
  EXPECT_FALSE(l2_normalize(values));
  EXPECT_THAT(values, ElementsAre(0, 0));
  values = {1, NAN};
  EXPECT_FALSE(l2_normalize(values));
  EXPECT_EQ(values[0], 1);
  values = {3e38f, 3e38f};  // its square is no float
  EXPECT_TRUE(l2_normalize(values));
  EXPECT_NEAR(values[0], std::sqrt(0.5), 1e-6);
  values = {1e-30f, 0};
  EXPECT_TRUE(l2_normalize(values));
  EXPECT_NEAR(values[0], 1, 1e-6);
  values = {};
  EXPECT_FALSE(l2_normalize(values));
}

}  // namespace
}  // namespace sightglass
