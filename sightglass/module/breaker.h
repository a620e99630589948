// Takes an element out of service that fails again and again. After `failures` within `window`, over all
// streams, it opens: everything passes by for `pause`. Then each stream tries one frame; where that succeeds
// the stream is served again, where it fails the stream waits for another pause. A second count of its own is
// kept for crashes.
//
//   if (!breaker.may_run(gate, now)) return pass_by();
//   run() ? breaker.succeeded(gate) : breaker.failed(gate, Breaker::Kind::error, now);
//
// Thread-safe; as long as nothing fails it costs one atomic load. A Gate belongs to one stream. The clock is
// the caller's, in ns.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>

#include "sightglass/module/spec.h"

namespace sightglass::module {

class Breaker {
 public:
  enum class Kind : uint8_t { error, crash };
  class Gate {
    friend Breaker;
    uint64_t served_ = 0;  // the opening that it has come through
    Time retry_at_ = no_time;
  };

  explicit Breaker(const BreakerSpec& errors,
                   const BreakerSpec& crashes = {.failures = 5, .window = 60'000'000'000})
      : errors_(errors), crashes_(crashes) {}

  bool may_run(const Gate& gate, Time now) const;
  void succeeded(Gate& gate);
  // True: this has opened it.
  bool failed(Gate& gate, Kind kind, Time now);
  // No stream has come through since it opened.
  bool is_open() const;

 private:
  const BreakerSpec errors_, crashes_;
  std::atomic<uint64_t> openings_ = 0;
  mutable std::mutex mutex_;  // of the rest
  std::deque<Time> failures_[2];
  Time open_until_ = no_time;
  bool has_served_ = false;  // since it opened
};

}  // namespace sightglass::module
