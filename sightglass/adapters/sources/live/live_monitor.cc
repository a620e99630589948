#include "sightglass/adapters/sources/live/live_monitor.h"

#include <algorithm>

namespace sightglass::adapters {
namespace {

constexpr Time second = 1'000'000'000;
constexpr int frames_to_stall = 5;
constexpr Time longest_interval = 60 * second;  // between frames, so that one gap does not hide the next

}  // namespace

void LiveMonitor::enter(SourceState state, Time now) {
  if (state == state_) return;
  if (is_blocked()) blocked_ += now - sending_;
  state_ = state;
  since_ = now;
}

void LiveMonitor::connection_begins(Time now) {
  connected_ = now;
  has_given_ = is_given_up_ = false;
}

void LiveMonitor::arrives(Time now) {
  if (state_ == SourceState::ended) return;
  if (!has_given_) {
    has_given_ = true;
    if (connections_++ > 0) ++reconnects_;
  } else if (last_ != no_time) {
    const Time interval = std::clamp<Time>(now - last_, 0, longest_interval);
    interval_ = interval_ ? interval_ + (interval - interval_) / 8 : interval;
  }
  last_ = now;
  if (state_ == SourceState::starting || state_ == SourceState::stalled) enter(SourceState::running, now);
}

void LiveMonitor::connection_breaks(Time now) {
  connected_ = no_time;
  is_given_up_ = false;
  // A stream that has not begun is given its time; one that is blocked will be found stalled afterwards.
  if (state_ == SourceState::running) enter(SourceState::stalled, now);
}

void LiveMonitor::send_begins(Time now) { sending_ = now; }

void LiveMonitor::send_ends(Time now) {
  if (is_blocked()) {
    enter(connected_ == no_time ? SourceState::stalled : SourceState::running, now);
    // Nobody looked at upstream meanwhile: its silence counts from here.
    if (last_ != no_time) last_ = std::max(last_, now);
  }
  sending_ = no_time;
}

void LiveMonitor::ends(Time now) { enter(SourceState::ended, now); }

bool LiveMonitor::poll(Time now, bool is_pacing) {
  if (state_ == SourceState::ended) return false;
  if (sending_ != no_time && now - sending_ > timing_.block_after) enter(SourceState::blocked, now);
  if (is_blocked() || is_pacing) return false;
  if (state_ == SourceState::starting && now - began_ >= timing_.start_timeout)
    enter(SourceState::stalled, now);
  if (state_ == SourceState::running && now - last_ >= stall_limit()) enter(SourceState::stalled, now);
  if (connected_ == no_time || is_given_up_) return false;
  is_given_up_ = has_given_ ? now - last_ >= stall_limit() : now - connected_ >= connection_limit();
  return is_given_up_;
}

double LiveMonitor::blocked_seconds(Time now) const {
  return double(blocked_ + (is_blocked() ? now - sending_ : 0)) * 1e-9;
}

double LiveMonitor::fps(Time now) const {
  if (last_ == no_time || state_ == SourceState::stalled || state_ == SourceState::ended) return 0;
  const Time interval = std::max(interval_, (now - last_) / 2);
  return interval_ > 0 ? double(second) / double(interval) : 0;
}

Time LiveMonitor::stall_limit() const { return std::max(timing_.stall_after, frames_to_stall * interval_); }

Time LiveMonitor::connection_limit() const {
  return std::min(std::max(2 * timing_.stall_after, 2 * second),
                  std::max(timing_.start_timeout, timing_.stall_after));
}

}  // namespace sightglass::adapters
