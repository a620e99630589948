// The life cycle of one virtual stream as a pure function: (state, event, time) → (state, actions). It starts
// no thread, holds no message, reads no clock; the runner executes what it says on the stream's strand.
//
//   Actions actions;
//   while (auto* item = queue.front()) {
//     const Verdict verdict = machine.offer(item->facts, now(), actions);
//     run(actions);                // first what has to happen before the message
//     switch (verdict.kind) {
//       case hold: return;         // it stays at the head until the next event
//       case push:                 // a ticket at verdict.pts
//         if (instance.push(…) == full) return machine.full(now());
//         machine.pushed(now(), actions);
//         break;
//       case drop: …               // settle by verdict.answer
//       case pass: …               // to the sinks
//       case update: …             // merge, or upsert by uuid
//       case end: break;           // it has become an EOS
//     }
//     queue.take(machine.retains());
//   }
//
// After every event: execute the actions in order, offer the head of the queue again, and see to the
// deadline. (A deadline that has moved later need not be re-armed: tick() before its time does nothing.)
//
// An instance is one pipeline, named by a number that is never used again; events of one that was reaped are
// ignored. An epoch is one life of the stream; each has one instance, or two when the first decoder failed.
// Only in SWITCHING, and in DRAINING right after it, are there two instances at a time.
//
// Accounting: every frame that was offered and not held is in exactly one of FrameCounts' places.
//
// Not thread-safe: one strand per source id. A frame in LIVE costs well under 1 µs and no allocation.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/stream/lifecycle/recent_events.h"
#include "sightglass/stream/lifecycle/seen_messages.h"
#include "sightglass/stream/lifecycle/stream_events.h"
#include "sightglass/stream/lifecycle/stream_rules.h"
#include "sightglass/stream/lifecycle/time_base.h"

namespace sightglass::stream {

class StreamMachine {
 public:
  // `seed` feeds the jitter of the back-off, e.g. a hash of the source id.
  explicit StreamMachine(std::shared_ptr<const StreamRules> rules, uint64_t seed = 0);

  // ── messages ──
  Verdict offer(const FrameFacts& facts, Time now, Actions& actions);
  void pushed(Time now, Actions& actions);  // the push of the last verdict was taken
  void full(Time now);                      // it was not: the message stays; room() comes later
  // A message waits that cannot even be offered: what has come out finds no room behind the stream.
  void held(Time now, Actions& actions);

  // ── the instance ──
  enum class Fault : uint8_t { decoder, unsupported, no_decoder, parser, element, output, frame_errors };
  enum class Outcome : uint8_t { stored, no_picture, dropped, replay };
  void built(uint32_t instance, Time now, Actions& actions);
  void room(uint32_t instance, Time now);
  void first_decoded(uint32_t instance, Time now, Actions& actions);
  // One per frame pushed; `stored`: it goes to the sinks, settled() tells the rest.
  void result(uint32_t instance, Outcome outcome, Time now);
  void frame_error(uint32_t instance, Time now, Actions& actions);
  void ended(uint32_t instance, Time now, Actions& actions);  // EOS has come out
  void failed(uint32_t instance, Fault fault, std::string_view text, Time now, Actions& actions);
  void torn_down(uint32_t instance, Time now, Actions& actions);
  void rewound(uint64_t frames, Time now, Actions& actions);

  // ── sinks ──
  void settled(bool stored, uint64_t frames = 1);

  // ── place among the streams ──
  void slot_granted(Time now, Actions& actions);
  void slot_pending(Time now, Actions& actions);  // another stream drains for it
  void slot_refused(Time now, Actions& actions);

  // ── operator and module ──
  enum class Command : uint8_t {
    end,         // HTTP delete, L-16
    quarantine,  // L-19
    release,     // L-21
    recycle,     // L-11: renewed at its next keyframe
    request_keyframe,
    evict,   // L-03: another stream needs the place
    drain,   // L-24
    revoke,  // L-25
    abandon  // L-25, partition lost: at once, nothing is committed
  };
  // False: means nothing in this state (409 over HTTP); nothing was changed. drain, revoke and abandon always
  // lead to Action::drained.
  bool command(Command command, Time now, Actions& actions);
  void set_rules(std::shared_ptr<const StreamRules> rules);

  // ── time ──
  void tick(Time now, Actions& actions);
  Time next_deadline() const;  // never: nothing is due

  // ── a look at it ──
  LifeState state() const { return state_; }
  Time since() const { return since_; }
  int64_t epoch() const { return epoch_; }           // the module's own count, from 1
  uint32_t instance() const { return current_.id; }  // 0: none
  uint32_t old_instance() const { return old_.id; }  // 0: none
  // What is pushed now may be needed again: FrameQueue::take(retain).
  bool retains() const { return current_.id != 0 && !current_.is_decoded && !current_.has_results; }
  const EpochFormat& format() const { return format_; }
  const FrameCounts& counts() const { return counts_; }
  const std::string& last_error() const { return last_error_; }
  Time retry_at() const { return state_ == LifeState::quarantined ? retry_at_ : no_time; }
  unsigned failures() const { return unsigned(failures_.size()); }
  const Uuid& writer() const { return writer_; }
  // False: may be replaced by a newcomer when too many sources are remembered.
  bool is_needed() const { return has_instance(state_) || state_ == LifeState::blacklisted; }

 private:
  struct Instance {
    uint32_t id = 0;  // 0: none
    int64_t epoch = 0;
    bool is_built = false, has_room = false, is_decoded = false, eos_pushed = false;
    bool has_results = false, has_ended = false;  // some of its frames have come out; its EOS has
    uint64_t frames = 0;                          // in it
    Time deadline =
        never;  // of the current one: for its first decoded frame; of the old one: for its last result
  };
  struct Reaping {
    uint32_t id = 0;
    Time deadline = never;  // never: set aside already
  };
  // What becomes of the offered message if its push is taken.
  struct Plan {
    bool is_set = false;
    FrameFacts facts;
    TimeBase::Mapping time;
  };
  enum class Claim : uint8_t { owner, stranger, takes_over };

  // stream_machine.cc: messages
  Verdict offer_frame(const FrameFacts& facts, Time now, Actions& actions);
  Verdict offer_without_instance(const FrameFacts& facts, Time now, Actions& actions);
  Verdict offer_to_instance(const FrameFacts& facts, Time now, Actions& actions);
  Verdict offer_eos(const FrameFacts& facts, Time now, Actions& actions);
  Verdict offer_local_eos(const FrameFacts& facts, Time now, Actions& actions);
  Verdict offer_user_data(const FrameFacts& facts, Time now, Actions& actions);
  Verdict offer_stream_update(const FrameFacts& facts, Time now, Actions& actions);
  Verdict open(const FrameFacts& facts, Time now, Actions& actions);
  Verdict end_before(const FrameFacts& facts, EosReason reason, Time now, Actions& actions);
  Verdict push(const FrameFacts& facts, const TimeBase::Mapping& time, Time now);
  Verdict hold(Time now);
  Verdict drop(const FrameFacts& facts, DropReason reason, Actions& actions,
               Verdict::Answer answer = Verdict::Answer::acknowledge);
  Verdict drop_until_keyframe(const FrameFacts& facts, DropReason reason, Time now, Actions& actions);
  Verdict pass(const FrameFacts& facts, Actions& actions);
  bool is_late(const FrameFacts& facts) const;
  bool is_duplicate(const FrameFacts& facts, DropReason& reason) const;
  Claim claim(const FrameFacts& facts, Time now) const;
  void set_writer(const FrameFacts& facts);
  void note_seen(const FrameFacts& facts, bool is_settled, Actions& actions);
  void note_activity(Time now, Actions& actions);
  void note_rewound(const FrameFacts& facts, Actions& actions);
  void ask_for_keyframe(Time now, Actions& actions);

  // stream_machine_instance.cc: instances, faults, ends, time
  void enter(LifeState state, Time now, Actions& actions);
  void set_format(const FrameFacts& facts);
  void build(bool hold_results, Time now, Actions& actions);
  void switch_instance(const FrameFacts& facts, Time now, Actions& actions);
  void begin_drain(EosReason reason, Time limit, bool behind_queue, Time now, Actions& actions);
  void push_eos(Instance& instance, EosReason reason, Actions& actions);
  void send_eos(const Instance& instance, EosReason reason, Actions& actions);
  void reap(Instance& instance, DropReason reason, Time now, Actions& actions);
  void old_is_out(bool complete, Time now, Actions& actions);
  void epoch_is_out(EosReason reason, DropReason rest, Time now, Actions& actions);
  void maybe_live(Time now, Actions& actions);
  void next_decoder_or_fail(Time now, Actions& actions);
  void fail(Time now, Actions& actions);
  void become_absent(Time now, Actions& actions);
  void withdraw(Time now, Actions& actions);
  void give_slot_back(Actions& actions);
  void notice(Action::Notice notice, bool discontinuity, Actions& actions);
  Instance* find(uint32_t id);
  Time stall_after() const;
  Time back_off();
  bool tick_once(Time now, Actions& actions);
  Time state_deadline() const;

  std::shared_ptr<const StreamRules> rules_;
  LifeState state_ = LifeState::absent;
  Time since_ = 0;
  int64_t epoch_ = 0;
  uint32_t last_instance_ = 0;
  Instance current_, old_;
  std::vector<Reaping> reaping_;  // those that have not stopped yet
  uint8_t decoder_ = 0;
  bool decoder_retried_ = false;
  EpochFormat format_;
  FrameCounts counts_;
  std::string last_error_;
  uint64_t random_;

  // Place among the streams.
  enum class Slot : uint8_t { none, asked, pending, held };
  Slot slot_ = Slot::none;
  bool reject_next_ = false;  // the keyframe at the head of the queue has had its answer
  Time slot_deadline_ = never;

  // Who writes, and what of it was seen.
  bool has_writer_ = false, writer_ended_ = false;  // the writer's own epoch is over
  Uuid writer_{};
  int64_t writer_epoch_ = 0, expected_seq_ = 0;
  Time last_message_ = 0, last_takeover_ = no_time, last_key_request_ = no_time;
  SeenMessages seen_;

  // Flow.
  Plan plan_;
  TimeBase time_, time_at_start_;  // the latter: for frames that come again
  bool awaits_key_ = false;        // what comes before the next keyframe is of no use
  DropReason awaits_reason_ = DropReason::gap;
  bool is_discontinuous_ = false;  // the next push says so, and may jump in time
  bool is_replaying_ = false;
  Time last_activity_ = 0;
  Time held_since_ = no_time;
  bool is_blocked_ = false;  // announced

  // Ends.
  bool recycle_pending_ = false, eos_queued_ = false, acknowledges_eos_ = false;
  bool module_drains_ = false, is_revoked_ = false;
  EosReason drain_reason_ = EosReason::end;
  Time drain_deadline_ = never, forget_at_ = never;
  bool eos_again_ = false;     // behind the frames that come again
  uint64_t rewound_left_ = 0;  // of those
  uint64_t rewinding_ = 0;     // frames of a failed instance, before rewound() says how many come again

  // Failures.
  RecentEvents failures_, frame_errors_;
  Time running_since_ = no_time, retry_at_ = 0, last_failure_ = 0, blacklisted_until_ = 0;
  unsigned blacklistings_ = 0;
};

}  // namespace sightglass::stream
