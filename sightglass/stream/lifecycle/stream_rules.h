// The rules by which virtual streams live: the keys under `streams` of a module, which may be overridden per
// source-id pattern. The structs hold the defaults; stream_rule_params() declares every key once, and schema,
// checks and help follow from it.
//
//   StreamRules rules;
//   rules.idle_timeout = never;
//   if (Status valid = check(rules); !valid) …
//
// All times are nanoseconds (core/frame.h). Plain values.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/core/param.h"
#include "sightglass/core/result.h"

namespace sightglass::stream {

inline constexpr Time never = std::numeric_limits<Time>::max();
inline constexpr Time millisecond = 1'000'000, second = 1'000'000'000;

// L-03: a keyframe of a new stream while max_streams have an instance.
enum class OnMaxStreams : uint8_t { evict_idle, evict_lowest_priority, reject };
// L-08: sequence numbers are missing and the codec predicts between pictures.
enum class OnGap : uint8_t { drop_to_keyframe, continue_ };
// L-10: time goes back, or ahead by over `time_jump_limit`.
enum class OnTimeJump : uint8_t { rebase, new_epoch, drop };
// L-22: a second producer sends under the same source id. newest: the process that started last (UUIDs of
// version 7 tell; others count as new). oldest: who came first, the other's messages are dropped. reject: as
// oldest, but the second one is told so.
enum class OnConflict : uint8_t { newest, oldest, reject };

// What to do when a queue is full. Streams: block, drop_to_keyframe, latest; sinks: block, drop_oldest,
// drop_to_keyframe, spill. automatic: by transport and codec, or by the type of the sink.
enum class QueuePolicy : uint8_t { automatic, block, drop_oldest, drop_to_keyframe, latest, spill };
std::string_view to_string(QueuePolicy policy);

struct StreamRules {
  // Of the module as a whole: not in overrides, and read at start.
  unsigned max_streams = 64;    // with an instance at a time
  unsigned warm_instances = 1;  // per codec, prebuilt
  unsigned max_stuck = 4;       // instances that do not stop; more: not ready, exit code 5
  unsigned new_sources_per_second = 10, new_sources_burst = 64;  // W-13

  int priority = 0;  // higher is kept; for evict_lowest_priority
  OnMaxStreams on_max_streams = OnMaxStreams::evict_idle;

  Time key_timeout = 30 * second;
  Time start_timeout = 10 * second;
  Time stall_after = 3 * second;  // at least; five frames when that is longer
  Time idle_timeout = 10 * second;
  Time drain_timeout = 10 * second;
  Time teardown_timeout = 5 * second;

  Time quarantine_initial = second;
  Time quarantine_max = 60 * second;
  unsigned jitter = 20;  // %
  unsigned max_failures = 6;
  Time failure_window = 300 * second;
  Time healthy_after = 30 * second;
  Time blacklist_ttl = 60 * second;  // doubled at each repeat
  Time blacklist_max = 3600 * second;
  unsigned max_frame_errors = 50;
  Time frame_error_window = 10 * second;

  OnConflict on_conflict = OnConflict::newest;
  Time takeover_after = 2 * second;
  Time revoke_timeout = 10 * second;

  OnGap on_gap = OnGap::drop_to_keyframe;
  OnTimeJump on_time_jump = OnTimeJump::rebase;
  Time time_jump_limit = 60 * second;
  bool eos_on_change = false;  // sinks see EOS when size or codec change within a stream

  // CODEC=ELEMENT, tried in this order before the built-in decoders of that codec: "h264=nvh264dec".
  std::vector<std::string> decoders;

  bool operator==(const StreamRules&) const = default;
};

const ParamTable& stream_rule_params();
// Keys that an override for a pattern may not set: the first block above.
bool is_module_wide(std::string_view key);
// What single ranges cannot say: quarantine_initial ≤ quarantine_max, blacklist_ttl ≤ blacklist_max, …
Status check(const StreamRules& rules);

// `*` stands for any characters, `?` for one; linear time.
bool matches(std::string_view pattern, std::string_view source_id);

// 1–128 characters: a letter or digit, then letters, digits, '.', '_', ':', '-', and no "..". Names of
// control topics start with '$' and are no source ids.
inline constexpr size_t max_source_id = 128;
bool is_valid_source_id(std::string_view id);

}  // namespace sightglass::stream
