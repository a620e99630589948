#include "sightglass/core/histogram.h"

#include <gtest/gtest.h>

#include <thread>

namespace sightglass {
namespace {

constexpr std::array<uint64_t, 3> tens{10, 20, 30};

TEST(Histogram, CountsABoundIntoItsOwnBucketAndWhatIsBeyondIntoTheLast) {
  Histogram histogram(tens);
  for (const uint64_t value : {0, 10, 11, 30, 31, 1000}) histogram.observe(value);
  const HistogramCounts counts = histogram.counts();
  EXPECT_EQ(counts.buckets, (std::vector<uint64_t>{2, 1, 1, 2}));
  EXPECT_EQ(counts.sum, 1082u);
  EXPECT_EQ(counts.count(), 6u);
}

TEST(Histogram, LosesNothingOfSeveralThreads) {
  Histogram histogram(tens);
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&] {
        for (uint64_t value = 0; value < 1000; ++value) histogram.observe(value % 40);
      });
  }
  EXPECT_EQ(histogram.counts().count(), 4000u);
  EXPECT_EQ(histogram.counts().sum, 4u * 25 * 780);
}

TEST(Histogram, HasBoundsThatRise) {
  EXPECT_TRUE(std::ranges::is_sorted(time_bounds));
  EXPECT_TRUE(std::ranges::is_sorted(count_bounds));
  EXPECT_LE(time_bounds.size(), Histogram::most_bounds);
}

}  // namespace
}  // namespace sightglass
