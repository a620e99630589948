// The clock of one virtual stream: maps time stamps of messages, in any time base, onto nanoseconds that
// start at 0 and grow whatever the source does (L-10), so that no element ever sees time run backwards.
//
//   TimeBase::Mapping time = clock.map({.pts = facts.pts, .base = facts.time_base, .keyframe = true}, 60 *
//   second); if (time.jump != TimeBase::Jump::none) …  // time.internal is then one frame after the last one
//   clock.commit(time);                       // the frame is taken
//
// Pictures may be displayed in another order than they are decoded in (`reorders`): only a time before
// everything that was shown before the last keyframe went back. Where dts are known they decide.
//
// Not thread-safe; a value.
#pragma once

#include <cstdint>
#include <optional>

#include "sightglass/core/frame.h"
#include "sightglass/core/video.h"

namespace sightglass::stream {

// ticks × base in ns, rounded to nearest; nothing when that cannot be expressed, or the base is not positive.
std::optional<Time> rescale(int64_t ticks, Fraction base);

// From one wall-clock reading to a later one; 0 when the clocks disagree. µs in, ns out.
Time latency(int64_t from_us, int64_t to_us);

class TimeBase {
 public:
  struct Stamp {
    int64_t pts = 0;
    std::optional<int64_t> dts;
    Fraction base{1, 1'000'000'000};
    Fraction frame_rate{0, 1};  // 0: unknown
    bool keyframe = false, reorders = false;
  };
  enum class Jump : uint8_t { none, back, ahead };
  struct Mapping {
    bool is_valid = false;  // else it cannot be expressed (W-05)
    Jump jump = Jump::none;
    Time internal = 0;        // ns, the stream's own clock
    Time pts = 0, order = 0;  // ns, as the source says
    Time duration = 0;        // of a frame, ns
    bool keyframe = false;
  };

  Mapping map(const Stamp& stamp, Time limit_ahead) const;
  void commit(const Mapping& mapping);
  // The next frame is the first of all.
  void reset() { *this = TimeBase{}; }
  Time last() const { return last_internal_; }  // greatest so far; no_time: none

 private:
  bool has_started_ = false;
  Time offset_ = 0;           // internal − source
  Time last_order_ = 0;       // of the last frame: dts, or pts where pictures are not reordered
  Time most_pts_ = 0;         // greatest so far
  Time floor_ = 0;            // least pts that did not go back
  Time internal_floor_ = -1;  // internal times up to here are used up
  Time last_internal_ = no_time, previous_ = no_time;
};

}  // namespace sightglass::stream
