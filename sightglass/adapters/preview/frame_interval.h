// How often a stream has frames, by what it says and by when they come: what tells one that is away from one
// that is slow. One thread.
#pragma once

#include <algorithm>
#include <cstdint>

#include "sightglass/core/video.h"

namespace sightglass::adapters {

class FrameInterval {
 public:
  // `least_ns`: a stream is not away sooner.
  explicit FrameInterval(int64_t least_ns) : least_ns_(least_ns) {}

  // A frame has come; `declared` rate, 0: unknown.
  void frame(int64_t now_ns, Fraction declared) {
    const int64_t apart = last_ns_ ? now_ns - last_ns_ : 0;
    // The smaller one of two: a single pause is no interval.
    interval_ns_ = std::min(apart, apart_ns_);
    if (declared.num > 0 && declared.den > 0)
      interval_ns_ = std::max(interval_ns_, int64_t(1e9 * declared.den / declared.num));
    apart_ns_ = apart;
    last_ns_ = now_ns;
  }
  // It has said that nothing comes for now.
  void pause() { last_ns_ = apart_ns_ = interval_ns_ = 0; }

  // How long after the last frame it is away: when two and a half intervals have gone by, but not after more
  // than a minute.
  int64_t patience_ns() const {
    return std::max(least_ns_, std::min(interval_ns_, longest_ns * 2 / 5) * 5 / 2);
  }

 private:
  static constexpr int64_t longest_ns = 60'000'000'000;
  int64_t least_ns_;
  int64_t last_ns_ = 0, apart_ns_ = 0, interval_ns_ = 0;
};

}  // namespace sightglass::adapters
