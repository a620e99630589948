#include "sightglass/elements/object_cache/object_cache.h"

#include <gtest/gtest.h>

namespace sightglass {
namespace {

SourceId region_of(int64_t object, Time pts, bool last = false) {
  return {.roi = 0, .object = object, .last_roi = last, .pts = pts};
}

TEST(ObjectCache, CountsFramesByTheTimeOfTheirRegions) {
  ObjectCache<int> cache(10);
  cache.see(region_of(1, 100), 0);
  cache.see(region_of(2, 100), 0);
  EXPECT_EQ(cache.frame(), 1u);
  cache.see(region_of(1, 200), 0);
  EXPECT_EQ(cache.frame(), 2u);
  cache.see({}, 300);
  cache.see({}, 300);  // whole frames each count
  EXPECT_EQ(cache.frame(), 4u);
}

TEST(ObjectCache, WithoutTimesTheLastRegionEndsAFrame) {
  ObjectCache<int> cache(10);
  cache.see(region_of(1, no_time), no_time);
  cache.see(region_of(2, no_time, true), no_time);
  EXPECT_EQ(cache.frame(), 1u);
  cache.see(region_of(1, no_time), no_time);
  EXPECT_EQ(cache.frame(), 2u);
}

TEST(ObjectCache, ForgetsWhatWasNotSeenForLong) {
  ObjectCache<int> cache(10);
  cache.see(region_of(7, 0), 0);
  cache[7] = 1;
  cache.see(region_of(8, 0), 0);
  cache[8] = 2;
  for (Time t = 1; t <= 128; ++t) cache.see(region_of(8, t), t);
  EXPECT_EQ(cache.find(7), nullptr);
  ASSERT_NE(cache.find(8), nullptr);
  EXPECT_EQ(*cache.find(8), 2);
}

TEST(ObjectCache, IsBounded) {
  ObjectCache<int> cache(1000);
  for (int64_t object = 1; object <= 3000; ++object) {
    cache.see(region_of(object, object), object);
    cache[object] = int(object);
  }
  EXPECT_EQ(cache.size(), ObjectCache<int>::max_objects);
  EXPECT_EQ(cache.find(1), nullptr);  // the longest unseen went first
  EXPECT_EQ(*cache.find(3000), 3000);
}

TEST(ObjectCache, KeepsObjectsApartWhateverTheirOrder) {
  ObjectCache<int> cache(10);
  for (int64_t object : {5, 1, 9, 3}) cache[object] = int(object);
  for (int64_t object : {5, 1, 9, 3}) EXPECT_EQ(*cache.find(object), object);
  cache.erase(5);
  cache.erase(6);
  EXPECT_EQ(cache.find(5), nullptr);
  EXPECT_EQ(cache.size(), 3u);
}

}  // namespace
}  // namespace sightglass
