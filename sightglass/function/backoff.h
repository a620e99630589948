// How long to wait before something that died is started again: twice as long each time, from the beginning
// once it has been well for a while. Plain values; the clock is the caller's, in ns.
#pragma once

#include <algorithm>

#include "sightglass/core/frame.h"

namespace sightglass::function {

class Backoff {
 public:
  Backoff(Time first, Time most, Time well_after) : first_(first), most_(most), well_after_(well_after) {}

  void started(Time now) { started_ = now; }
  // When to start it again.
  Time died(Time now) {
    if (started_ != no_time && now - started_ >= well_after_) pause_ = 0;
    pause_ = pause_ == 0 ? first_ : std::min(pause_ * 2, most_);
    started_ = no_time;
    return now + pause_;
  }

 private:
  const Time first_, most_, well_after_;
  Time started_ = no_time, pause_ = 0;
};

}  // namespace sightglass::function
