#include "sightglass/elements/selection/polygon.h"

#include <gtest/gtest.h>

#include <vector>

namespace sightglass {
namespace {

using Corners = std::array<PlanePoint, 4>;
Corners box(float x, float y, float w, float h) { return {{{x, y}, {x + w, y}, {x + w, y + h}, {x, y + h}}}; }

TEST(Polygon, ContainsByCrossings) {
  const std::vector<PlanePoint> u = {{0, 0}, {9, 0}, {9, 9}, {6, 9}, {6, 3}, {3, 3}, {3, 9}, {0, 9}};
  EXPECT_TRUE(contains(u, {1, 8}));
  EXPECT_TRUE(contains(u, {8, 8}));
  EXPECT_FALSE(contains(u, {4.5f, 8}));  // between the legs
  EXPECT_FALSE(contains(u, {10, 1}));
  // Of a border the left and upper one belong to it.
  EXPECT_TRUE(contains(u, {0, 0}));
  EXPECT_FALSE(contains(u, {9, 5}));
  const std::vector<PlanePoint> eight = {{0, 0}, {4, 4}, {4, 0}, {0, 4}};
  EXPECT_TRUE(contains(eight, {0.5f, 2}));
  EXPECT_FALSE(contains(eight, {2, 0.5f}));
}

TEST(Polygon, TouchesWhatSharesAnything) {
  const std::vector<PlanePoint> triangle = {{0, 0}, {10, 0}, {0, 10}};
  EXPECT_TRUE(touches(triangle, box(1, 1, 2, 2)));      // within
  EXPECT_TRUE(touches(triangle, box(-5, -5, 30, 30)));  // around it
  EXPECT_TRUE(touches(triangle, box(-1, 4, 20, 1)));    // across, no corner inside
  EXPECT_TRUE(touches(triangle, box(10, -1, 3, 3)));    // a corner of it on the side
  EXPECT_FALSE(touches(triangle, box(6, 6, 3, 3)));     // within its bounds, beyond its long side
  EXPECT_FALSE(touches({}, box(0, 0, 1, 1)));
}

}  // namespace
}  // namespace sightglass
