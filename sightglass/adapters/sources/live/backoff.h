// How long to wait before the next attempt: 0.5 s, doubled up to 30 s, each ±20 % so that many cameras of one
// switch do not come back all at once. There is no last attempt. One thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>

#include "sightglass/core/frame.h"

namespace sightglass::adapters {

class Backoff {
 public:
  explicit Backoff(Time initial = 500'000'000, Time most = 30'000'000'000, uint64_t seed = 1)
      : initial_(initial), most_(most), next_(initial), random_(seed) {}

  Time next() {
    const Time pause = next_;
    next_ = std::min(2 * next_, most_);
    return Time(double(pause) * std::uniform_real_distribution<>(0.8, 1.2)(random_));
  }
  void reset() { next_ = initial_; }

 private:
  Time initial_, most_, next_;
  std::mt19937_64 random_;
};

}  // namespace sightglass::adapters
