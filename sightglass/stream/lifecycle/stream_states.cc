// The vocabulary of the life cycle: names, the table of transitions, what is known of codecs.
#include <algorithm>
#include <cassert>

#include "sightglass/stream/lifecycle/stream_events.h"

namespace sightglass::stream {

namespace {
constexpr std::array<std::string_view, life_states> state_names = {
    "ABSENT",   "WAIT_KEY", "QUARANTINED", "BLACKLISTED", "REJECTED",
    "STARTING", "LIVE",     "IDLE",        "SWITCHING",   "DRAINING"};

constexpr unsigned bit(LifeState state) { return 1u << unsigned(state); }
template <class... State>
constexpr unsigned any(State... states) {
  return (bit(states) | ...);
}
// By state, all that may follow.
constexpr std::array<unsigned, life_states> followers = [] {
  using enum LifeState;
  std::array<unsigned, life_states> to{};
  to[size_t(absent)] = any(wait_key, starting, rejected);
  to[size_t(wait_key)] = any(absent, starting, rejected);
  to[size_t(quarantined)] = any(absent, starting, rejected, blacklisted);
  to[size_t(blacklisted)] = any(absent);
  to[size_t(rejected)] = any(absent, starting);
  to[size_t(starting)] = any(live, draining, quarantined, rejected, absent);
  to[size_t(live)] = any(idle, switching, draining, quarantined, absent);
  to[size_t(idle)] = any(live, switching, draining, quarantined, absent);
  to[size_t(switching)] = any(live, draining, quarantined, absent);
  to[size_t(draining)] = any(absent, quarantined);
  return to;
}();

constexpr std::array<std::string_view, 11> codec_names = {"none",  "h264", "hevc", "av1", "vp8",  "vp9",
                                                          "mjpeg", "jpeg", "png",  "raw", "other"};
constexpr std::array<std::string_view, drop_reasons> reason_names = {
    "none",       "no_keyframe", "duplicate",   "late",       "gap",      "time_jump",  "timestamp",
    "rejected",   "quarantined", "blacklisted", "fenced",     "draining", "queue_full", "replay",
    "no_picture", "element",     "failed",      "unfinished", "sink"};
}  // namespace

std::string_view to_string(LifeState state) { return state_names[size_t(state)]; }
bool has_instance(LifeState state) { return state >= LifeState::starting; }
bool may_follow(LifeState from, LifeState to) { return followers[size_t(from)] & bit(to); }

Codec codec_of(std::string_view wire_name) {
  if (wire_name.empty()) return Codec::none;
  const auto found = std::ranges::find(codec_names, wire_name);
  return found == codec_names.end() ? Codec::other : Codec(found - codec_names.begin());
}
std::string_view to_string(Codec codec) { return codec_names[size_t(codec)]; }
bool is_intra(Codec codec) {
  return codec == Codec::none || codec == Codec::mjpeg || codec == Codec::jpeg || codec == Codec::png ||
         codec == Codec::raw;
}
bool takes_new_size(Codec codec) { return is_intra(codec); }

std::string_view to_string(EosReason reason) {
  static constexpr std::array<std::string_view, 6> names = {"end",   "idle",    "changed",
                                                            "error", "evicted", "drain"};
  return names[size_t(reason)];
}
std::string_view to_string(DropReason reason) { return reason_names[size_t(reason)]; }

void Actions::add(const Action& action) {
  assert(size_ < most);
  items_[size_++] = action;
}

uint64_t FrameCounts::dropped_in_all() const {
  uint64_t sum = 0;
  for (uint64_t count : dropped) sum += count;
  return sum;
}

}  // namespace sightglass::stream
