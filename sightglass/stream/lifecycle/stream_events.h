// What goes into the life cycle of a virtual stream and what comes out: states, the facts of messages,
// verdicts about them, actions. stream_machine.h says how they belong together. Plain values; nothing here
// allocates.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "sightglass/core/frame.h"
#include "sightglass/core/video.h"
#include "sightglass/stream/lifecycle/seen_messages.h"

namespace sightglass::stream {

enum class LifeState : uint8_t {
  absent,       // no instance, at most a tombstone
  wait_key,     // messages, but no keyframe yet
  quarantined,  // failed; back-off runs
  blacklisted,  // refused by its id alone until the time is up
  rejected,     // over max_streams
  starting,     // built, or waiting for an evicted stream's place
  live,
  idle,       // nothing for stall_after
  switching,  // the old instance drains, the next one starts
  draining    // EOS is pushed, results still come
};
inline constexpr size_t life_states = 10;
std::string_view to_string(LifeState state);  // "WAIT_KEY", as in the documentation
bool has_instance(LifeState state);
// The table of transitions that there are; everything else is a defect.
bool may_follow(LifeState from, LifeState to);

enum class Codec : uint8_t { none, h264, hevc, av1, vp8, vp9, mjpeg, jpeg, png, raw, other };
Codec codec_of(std::string_view wire_name);  // empty: none (metadata only)
std::string_view to_string(Codec codec);
bool is_intra(Codec codec);        // every picture stands alone
bool takes_new_size(Codec codec);  // within an instance, L-12: jpeg, png, raw (and mjpeg, none)

enum class MessageKind : uint8_t { frame, frame_update, stream_update, user_data, end_of_stream };

// Why an epoch ended; in the order of the wire's EndReason.
enum class EosReason : uint8_t { end, idle, changed, error, evicted, drain };
std::string_view to_string(EosReason reason);

// All that the machine needs to know of a message.
struct FrameFacts {
  MessageKind kind = MessageKind::frame;
  bool keyframe = false;
  bool replay = false;          // acknowledged before: rebuilds decoder state, yields no result
  bool discontinuity = false;   // of a StreamUpdate: the writer has reconnected
  bool local = false;           // an EOS that the runner queued for Action::queue_eos
  bool rewound = false;         // taken before and put back by FrameQueue::rewind(); set by the queue
  uint32_t dropped_before = 0;  // messages that the queue dropped right before this one; set by the queue
  EosReason eos_reason = EosReason::end;  // of end_of_stream

  Uuid producer{};
  int64_t epoch = 0, seq = 0;  // of the wire
  Uuid uuid{};                 // of a frame

  Codec codec = Codec::none;
  int width = 0, height = 0;  // pixels
  uint32_t layout = 0;  // any hash of what else makes up the caps (raw format, colorimetry); equal = same
  Fraction frame_rate{0, 1};
  Fraction time_base{1, 1'000'000'000};
  int64_t pts = 0;
  std::optional<int64_t> dts;  // decides about jumps of time where it is known
  uint64_t bytes = 0;          // payload
};

enum class DropReason : uint8_t {
  none,
  no_keyframe,  // L-01
  duplicate,    // L-09
  late,         // L-09: of an ended epoch, or out of order
  gap,          // L-08: between a loss and the next keyframe
  time_jump,    // L-10
  timestamp,    // W-05: pts cannot be expressed
  rejected,     // L-03
  quarantined,
  blacklisted,
  fenced,    // L-22
  draining,  // L-24: the module takes no new streams
  queue_full,
  replay,      // passed the decoder only
  no_picture,  // the decoder gave nothing
  element,     // dropped by an element, function or condition
  failed,      // in an instance that failed
  unfinished,  // not out by drain_timeout
  sink,        // by the policy of a sink's queue
};
inline constexpr size_t drop_reasons = 19;
std::string_view to_string(DropReason reason);

struct Verdict {
  enum class Kind : uint8_t {
    push,    // into `instance`, at `pts`; then pushed() or full()
    hold,    // stays at the head of the queue
    drop,    // for `reason`; settle by `answer`
    pass,    // straight to the sinks (StreamUpdate; EOS and UserData without an instance)
    update,  // FrameUpdate: merge into its frame, or an upsert by uuid when that is gone
    end      // EOS, now pushed into the instance; acknowledged by Action::acknowledge_eos
  };
  enum class Answer : uint8_t {
    acknowledge,
    refuse,
    refuse_retry
  };  // refusals carry the reason's name as code
  Kind kind = Kind::hold;
  DropReason reason = DropReason::none;
  Answer answer = Answer::acknowledge;
  bool discontinuity = false;  // of push: something is missing before it, or time was rebased
  bool replay = false;         // of push: no result is wanted
  uint32_t instance = 0;
  Time pts = no_time;  // of push: the stream's own clock, ns; grows in order of display
};

struct Action {
  enum class Kind : uint8_t {
    acquire_slot,    // StreamTable::acquire(); answer with slot_granted(), slot_pending() or slot_refused()
    release_slot,    // StreamTable::release(); also withdraws a pending request
    build_instance,  // for `epoch` with decoder number `decoder`; built() or failed(). hold_results: not to
                     // the sinks before release_results
    push_eos,        // into `instance`, `reason`
    queue_eos,  // append an EOS to the stream's queue: local = true, epoch = `epoch`, eos_reason = `reason`
    release_results,   // of `instance`
    renew_caps,        // of `instance`: size, layout or rate of format() hold from the next push on
    reap,              // stop and destroy on the reaper's thread; torn_down() when it has reached NULL
    set_aside,         // `instance` does not stop: StreamTable::note_stuck(+1)
    not_stuck,         // it has after all: note_stuck(-1)
    rewind,            // FrameQueue::rewind(); answer with rewound(count)
    forget_taken,      // FrameQueue::forget_taken()
    flush_batches,     // of `instance`: run its partial batches now
    request_keyframe,  // from the writer, where it can hear
    stream_update,     // to the sinks: `notice`, format(), `discontinuity`, last_error() as its reason
    eos_to_sinks,      // of `epoch`, `reason`
    acknowledge_eos,   // settle the writer's EOS of this epoch
    count_lost,        // `count` messages never arrived
    takeover,          // another writer is heard from now on; counted
    state_changed,     // from `from` to `to`; for metrics and events
    blacklist,         // until `deadline`: StreamTable::Entry::refuse(); 0: no longer
    drained,           // module drain, revocation: nothing of this stream is left
    forget             // the table may remove the entry
  };
  enum class Notice : uint8_t { starting, running, blocked, stalled, ended, quarantined, rejected };

  Kind kind = Kind::forget;
  Notice notice = Notice::starting;
  EosReason reason = EosReason::end;
  LifeState from = LifeState::absent, to = LifeState::absent;
  uint8_t decoder = 0;
  bool hold_results = false, discontinuity = false;
  uint32_t instance = 0;
  int64_t epoch = 0;
  uint64_t count = 0;
  Time deadline = 0;
};

// What one event asks for; a fixed buffer, so that nothing is allocated.
class Actions {
 public:
  static constexpr size_t most = 32;
  void clear() { size_ = 0; }
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  const Action& operator[](size_t index) const { return items_[index]; }
  const Action* begin() const { return items_.data(); }
  const Action* end() const { return items_.data() + size_; }
  void add(const Action& action);  // asserts that there is room: no event has as many

 private:
  std::array<Action, most> items_;
  size_t size_ = 0;
};

// Frames by where they are. received = queued + in_instance + in_sinks + stored + sum of dropped, with
// `received` and `queued` of the FrameQueue.
struct FrameCounts {
  uint64_t taken = 0;  // off the queue: pushed or dropped
  uint64_t in_instance = 0, in_sinks = 0, stored = 0, lost = 0;
  std::array<uint64_t, drop_reasons> dropped{};
  uint64_t dropped_in_all() const;
  bool balanced() const { return taken == in_instance + in_sinks + stored + dropped_in_all(); }
};

struct EpochFormat {
  Codec codec = Codec::none;
  int width = 0, height = 0;
  uint32_t layout = 0;
  Fraction frame_rate{0, 1};
};

}  // namespace sightglass::stream
