// How fast a recorded source delivers: as fast as it is taken (asap), by its timestamps (realtime), or by
// them at another speed ("rate: x", here text "2x"). One thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <stop_token>
#include <string_view>

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"

namespace sightglass::adapters {

class Pace {
 public:
  // "asap", "realtime", or a factor such as "0.5" or "2".
  static Result<Pace> parse(std::string_view text);
  Pace() = default;

  bool waits() const { return speed_ > 0; }
  // Until `pts` (ns) is due, counted from the first call; false when stopped meanwhile. A source that has
  // been held up does not hurry afterwards.
  bool wait(Time pts, const std::stop_token& stop);

 private:
  explicit Pace(double speed) : speed_(speed) {}
  double speed_ = 0;  // 0: asap
  bool has_begun_ = false;
  Time first_ = 0;
  std::chrono::steady_clock::time_point begin_;
};

}  // namespace sightglass::adapters
