// Holds frames back so that at most `target-fps` pass in a second. The frame waits, in the thread that brings
// it, without using the processor; cancel() ends the wait at once, and flush() makes the element fit for use
// again.
//
// One stream, one thread, but for cancel().
#pragma once

#include <condition_variable>
#include <mutex>

#include "sightglass/core/element.h"

namespace sightglass {

// When frames may pass, in any clock of nanoseconds.
class FramePacer {
 public:
  explicit FramePacer(double frames_per_second)
      : period_(frames_per_second > 0 ? Time(1e9 / frames_per_second) : 0) {}
  // The time at which the frame that has come at `now` may pass. What was lost by a frame that came late is
  // made up for by up to one frame.
  Time pass_at(Time now);
  void restart() { next_ = no_time; }

 private:
  Time period_;  // 0: no limit
  Time next_ = no_time;
};

class FpsThrottle final : public TransformInplace {
 public:
  struct Params {
    double target_fps = 0;  // 0: no limit
  };

  explicit FpsThrottle(const Params& params) : pacer_(params.target_fps) {}

  Result<Verdict> process(Frame& frame) override;
  void cancel() override;
  void flush() override;

 private:
  FramePacer pacer_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool cancelled_ = false;  // guarded
};

}  // namespace sightglass
