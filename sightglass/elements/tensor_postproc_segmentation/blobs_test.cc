#include "sightglass/elements/tensor_postproc_segmentation/blobs.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <string_view>

namespace sightglass {
namespace {

struct Map {
  std::vector<float> values;
  int64_t width, height;
};
// '.' is 0, a digit so many tenths.
Map map_of(const std::vector<std::string_view>& rows) {
  Map map{{}, int64_t(rows[0].size()), int64_t(rows.size())};
  for (std::string_view row : rows)
    for (char c : row) map.values.push_back(c == '.' ? 0 : float(c - '0') / 10);
  return map;
}
std::vector<Blob> find(const Map& map, float threshold = .5f) {
  BlobFinder finder;
  const auto found = finder.run(map.values, map.width, map.height, threshold);
  return {found.begin(), found.end()};
}

TEST(Blobs, AreCellsThatTouchCornersIncluded) {
  const auto blobs = find(map_of({".99....8",  //
                                  "...9..8.",  //
                                  "........",  //
                                  "5......."}));
  ASSERT_EQ(blobs.size(), 3u);  // by their topmost, leftmost cell
  EXPECT_EQ(blobs[0].cells, 3);
  EXPECT_NEAR(blobs[0].score, .9, 1e-6);
  EXPECT_EQ(blobs[1].cells, 2);
  EXPECT_EQ(blobs[2].cells, 1);
  EXPECT_DOUBLE_EQ(blobs[0].upright.x, 2.5);
  EXPECT_DOUBLE_EQ(blobs[0].upright.y, 1);
  EXPECT_DOUBLE_EQ(blobs[0].upright.w, 3);
  EXPECT_DOUBLE_EQ(blobs[0].upright.h, 2);
}

TEST(Blobs, ArmsThatMeetLowerDownAreOne) {
  EXPECT_EQ(find(map_of({"9.9.9",  //
                         "9.9.9",  //
                         "99999"}))
                .size(),
            1u);
  EXPECT_EQ(find(map_of({"9...9",  //
                         ".9.9.",  //
                         "..9.."}))
                .size(),
            1u);
  EXPECT_EQ(find(map_of({"99999",  //
                         "9...9",  //
                         "9.9.9",  //
                         "9...9",  //
                         "99999"}))
                .size(),
            2u);
}

TEST(Blobs, ATurnedLineHasATurnedBox) {
  // A line of 40 by 6 cells, turned by 30° clockwise.
  Map map{std::vector<float>(64 * 48), 64, 48};
  const double angle = std::numbers::pi / 6, c = std::cos(angle), s = std::sin(angle);
  for (int y = 0; y < 48; ++y)
    for (int x = 0; x < 64; ++x) {
      const double dx = x + .5 - 32, dy = y + .5 - 24, u = dx * c + dy * s, v = dy * c - dx * s;
      if (std::abs(u) <= 20 && std::abs(v) <= 3) map.values[size_t(y) * 64 + size_t(x)] = 1;
    }
  const auto blobs = find(map);
  ASSERT_EQ(blobs.size(), 1u);
  EXPECT_NEAR(blobs[0].box.angle, angle, .05);
  EXPECT_NEAR(blobs[0].box.w, 40, 2);
  EXPECT_NEAR(blobs[0].box.h, 6, 2);
  EXPECT_NEAR(blobs[0].box.x, 32, .5);
  EXPECT_NEAR(blobs[0].box.y, 24, .5);
  EXPECT_LT(blobs[0].box.area(), .5 * blobs[0].upright.area());
}

TEST(Blobs, WhatIsNotANumberIsNoCell) {
  Map map = map_of({"9.9"});
  map.values[1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(find(map).size(), 2u);
  EXPECT_TRUE(find(map_of({"...", "..."})).empty());
  EXPECT_EQ(find(map_of({"5"})).size(), 1u);  // equal to the threshold
}

TEST(Blobs, GrowByAreaOverPerimeter) {
  const TurnedBox grown = unclip({10, 10, 40, 10, .1}, 1.5);
  EXPECT_DOUBLE_EQ(grown.w, 40 + 2 * 6);  // 400 · 1.5 / 100
  EXPECT_DOUBLE_EQ(grown.h, 10 + 2 * 6);
  EXPECT_DOUBLE_EQ(grown.angle, .1);
  EXPECT_DOUBLE_EQ(unclip({0, 0, 0, 0, 0}, 1.5).w, 0);
}

}  // namespace
}  // namespace sightglass
