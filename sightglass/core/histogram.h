// How often a number came out how large, counted where it comes out: a handful of relaxed atomics, no lock
// and no allocation, so frames can afford it.
//
//   Histogram times(time_bounds);
//   times.observe(uint64_t(now - begin));           // ns
//   HistogramCounts seen = times.counts();          // by whoever asks; a copy
//
// Thread-safe. The counts of one copy agree with each other (the number of observations is the sum of the
// buckets); the sum may be ahead by what is being observed just then.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

namespace sightglass {

// Upper limits of the buckets, in ns: 0.1 ms to five minutes.
inline constexpr std::array<uint64_t, 20> time_bounds{
    100'000,        250'000,        500'000,        1'000'000,       2'500'000,
    5'000'000,      10'000'000,     25'000'000,     50'000'000,      100'000'000,
    250'000'000,    500'000'000,    1'000'000'000,  2'500'000'000,   5'000'000'000,
    10'000'000'000, 30'000'000'000, 60'000'000'000, 120'000'000'000, 300'000'000'000};
inline constexpr std::array<uint64_t, 9> count_bounds{1, 2, 4, 8, 16, 32, 64, 128, 256};

struct HistogramCounts {
  std::span<const uint64_t> bounds;  // static
  std::vector<uint64_t> buckets;     // observations up to each bound, and of the last one those beyond
  uint64_t sum = 0;
  uint64_t count() const { return std::accumulate(buckets.begin(), buckets.end(), uint64_t(0)); }
};

class Histogram {
 public:
  static constexpr size_t most_bounds = 23;

  // Rising, at most so many, and static.
  explicit Histogram(std::span<const uint64_t> bounds)
      : bounds_(bounds.first(std::min(bounds.size(), most_bounds))) {}

  void observe(uint64_t value) {
    const size_t bucket = size_t(std::ranges::lower_bound(bounds_, value) - bounds_.begin());
    buckets_[bucket].fetch_add(1, std::memory_order_relaxed);
    sum_.fetch_add(value, std::memory_order_relaxed);
  }

  HistogramCounts counts() const {
    HistogramCounts counts{
        .bounds = bounds_, .buckets = std::vector<uint64_t>(bounds_.size() + 1), .sum = sum()};
    for (size_t i = 0; i < counts.buckets.size(); ++i)
      counts.buckets[i] = buckets_[i].load(std::memory_order_relaxed);
    return counts;
  }
  uint64_t sum() const { return sum_.load(std::memory_order_relaxed); }

 private:
  const std::span<const uint64_t> bounds_;
  std::array<std::atomic<uint64_t>, most_bounds + 1> buckets_{};
  std::atomic<uint64_t> sum_{0};
};

}  // namespace sightglass
