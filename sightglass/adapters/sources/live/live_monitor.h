// Says how a live stream does, and when its connection has to be given up: the five states of adapters.
//
//   starting  no frame yet, for at most `start_timeout`
//   running   a frame has come within `stall_after`, or within the time of 5 frames where that is longer
//   blocked   a frame has waited for downstream for over `block_after`: upstream is left alone
//   stalled   nothing from upstream for as long, or the connection broke; it is made again and again
//   ended     by its own end, or by request
//
//   LiveMonitor monitor({}, now);
//   monitor.connection_begins(now);   …   monitor.arrives(now);   …   monitor.send_begins(now); …
//   if (monitor.poll(now)) input->cancel();   // half-open, or no answer: give it up
//   SourceState state = monitor.state();
//
// Events and times in, verdicts out: no clock, no thread, no lock. Times are ns of any one clock.
#pragma once

#include <cstdint>
#include <string>

#include "sightglass/adapters/adapter.h"

namespace sightglass::adapters {

struct LiveTiming {
  Time start_timeout = 15'000'000'000;
  Time stall_after = 3'000'000'000;
  Time block_after = 1'000'000'000;
};

class LiveMonitor {
 public:
  LiveMonitor(const LiveTiming& timing, Time now) : timing_(timing), since_(now), began_(now) {}

  void connection_begins(Time now);
  void arrives(Time now);  // anything from upstream, also what is not passed on
  void connection_breaks(Time now);
  void send_begins(Time now);
  void send_ends(Time now);
  void ends(Time now);
  // Time has passed. True, once per connection: it is dead and has to be given up.
  // With `is_pacing` the silence is the input's own wish.
  bool poll(Time now, bool is_pacing = false);

  SourceState state() const { return state_; }
  double seconds_in_state(Time now) const { return double(now - since_) * 1e-9; }
  uint64_t reconnects() const { return reconnects_; }  // connections that gave frames, beyond the first
  double blocked_seconds(Time now) const;
  double fps(Time now) const;
  // Without a frame for this long, a stream is stalled; it follows the rate of the stream.
  Time stall_limit() const;
  // How long a new connection may take to give anything.
  Time connection_limit() const;

 private:
  bool is_blocked() const { return state_ == SourceState::blocked; }
  void enter(SourceState state, Time now);

  LiveTiming timing_;
  SourceState state_ = SourceState::starting;
  Time since_;                // in this state
  Time began_;                // of the stream
  Time connected_ = no_time;  // when the connection began; none: there is none
  bool has_given_ = false;    // this connection has
  bool is_given_up_ = false;  // poll() has said so
  Time last_ = no_time;       // arrival; moved behind what was blocked
  Time interval_ = 0;         // between arrivals, smoothed; 0: not known
  Time sending_ = no_time;    // since when
  Time blocked_ = 0;          // in all, without the present one
  uint64_t connections_ = 0, reconnects_ = 0;
};

}  // namespace sightglass::adapters
