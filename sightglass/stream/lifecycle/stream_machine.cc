// What becomes of messages: who may speak, what was seen before, what can be decoded, where it goes. The rest
// of the machine is in stream_machine_instance.cc.
#include "sightglass/stream/lifecycle/stream_machine.h"

#include <algorithm>
#include <utility>

namespace sightglass::stream {

namespace {
constexpr Time takeover_pause = 10 * second;      // L-22
constexpr Time quiet_writer = 500 * millisecond;  // a writer that is probably gone
constexpr Time tombstone = 60 * second;
constexpr Time key_request_pause = second;  // L-01

bool stands_alone(const FrameFacts& facts) { return facts.keyframe || is_intra(facts.codec); }

// UUIDs of version 7 begin with the time at which they were made.
bool is_younger(const Uuid& a, const Uuid& b) {
  const auto tells_time = [](const Uuid& uuid) { return uuid[6] >> 4 == 7; };
  return !tells_time(a) || !tells_time(b) || a > b;
}
}  // namespace

Verdict StreamMachine::offer(const FrameFacts& facts, Time now, Actions& actions) {
  plan_.is_set = false;
  if (state_ == LifeState::absent && forget_at_ == never) forget_at_ = now + tombstone;
  switch (facts.kind) {
    case MessageKind::frame:
      return offer_frame(facts, now, actions);
    // From anybody, at any time: its frame may be gone long since.
    case MessageKind::frame_update: {
      held_since_ = no_time;
      if (has_writer_ && facts.producer == writer_ && facts.epoch == writer_epoch_)
        note_seen(facts, true, actions);
      return {.kind = Verdict::Kind::update};
    }
    case MessageKind::stream_update:
      return offer_stream_update(facts, now, actions);
    case MessageKind::user_data:
      return offer_user_data(facts, now, actions);
    case MessageKind::end_of_stream:
      return facts.local ? offer_local_eos(facts, now, actions) : offer_eos(facts, now, actions);
  }
  return hold(now);
}

// ── who may speak ──

bool StreamMachine::is_late(const FrameFacts& facts) const {
  if (!has_writer_ || facts.producer != writer_) return false;
  return facts.epoch < writer_epoch_ || (facts.epoch == writer_epoch_ && writer_ended_);
}

bool StreamMachine::is_duplicate(const FrameFacts& facts, DropReason& reason) const {
  if (!has_writer_ || facts.producer != writer_ || facts.epoch != writer_epoch_) {
    // Another writer may send frames that were seen: a source that was restarted, a second path.
    reason = DropReason::duplicate;
    return facts.kind == MessageKind::frame && !facts.replay && seen_.knows(facts.uuid);
  }
  const auto seen = seen_.check(facts.seq, facts.kind == MessageKind::frame ? &facts.uuid : nullptr);
  reason = seen == SeenMessages::Seen::late ? DropReason::late : DropReason::duplicate;
  // Frames that were acknowledged come again where the decoder has lost its state, and only there.
  if (facts.replay && (is_replaying_ || (stands_alone(facts) && (awaits_key_ || current_.id == 0))))
    return false;
  return seen != SeenMessages::Seen::fresh;
}

// L-22, of a message that is not late.
StreamMachine::Claim StreamMachine::claim(const FrameFacts& facts, Time now) const {
  if (!has_writer_ || facts.producer == writer_ || !has_instance(state_) || current_.id == 0)
    return Claim::owner;
  if (facts.kind != MessageKind::frame || !stands_alone(facts)) return Claim::stranger;
  const Time silence = now - last_message_;
  const bool is_quiet = silence >= std::min(rules_->takeover_after, quiet_writer);
  if (!is_quiet && last_takeover_ != no_time && now - last_takeover_ < takeover_pause) return Claim::stranger;
  if (silence >= rules_->takeover_after) return Claim::takes_over;
  return rules_->on_conflict == OnConflict::newest && is_younger(facts.producer, writer_) ? Claim::takes_over
                                                                                          : Claim::stranger;
}

void StreamMachine::set_writer(const FrameFacts& facts) {
  if (has_writer_ && facts.producer == writer_ && facts.epoch == writer_epoch_) return;
  has_writer_ = true;
  writer_ended_ = false;
  writer_ = facts.producer;
  writer_epoch_ = facts.epoch;
  expected_seq_ = facts.seq;
  seen_.restart();
  is_replaying_ = false;
}

// The message is off the queue. One that is refused comes again: it must not look like a duplicate then.
void StreamMachine::note_seen(const FrameFacts& facts, bool is_settled, Actions& actions) {
  if (facts.rewound || facts.local || !has_writer_ || facts.producer != writer_ ||
      facts.epoch != writer_epoch_)
    return;
  if (is_settled && !facts.replay)
    seen_.note(facts.seq, facts.kind == MessageKind::frame ? &facts.uuid : nullptr);
  if (facts.seq < expected_seq_) return;
  const int64_t missing = facts.seq - expected_seq_;
  expected_seq_ = facts.seq + 1;
  if (missing <= int64_t(facts.dropped_before)) return;
  const auto lost = uint64_t(missing - int64_t(facts.dropped_before));
  counts_.lost += lost;
  actions.add({.kind = Action::Kind::count_lost, .count = lost});
}

void StreamMachine::note_activity(Time now, Actions& actions) {
  last_activity_ = now;
  if (state_ != LifeState::idle) return;
  notice(Action::Notice::running, false, actions);  // L-14
  enter(LifeState::live, now, actions);
}

// The EOS that the failed instance had been given follows the last of its frames.
void StreamMachine::note_rewound(const FrameFacts& facts, Actions& actions) {
  if (!facts.rewound || facts.kind != MessageKind::frame || rewound_left_ == 0) return;
  if (--rewound_left_ == 0 && std::exchange(eos_again_, false) && current_.is_built)
    push_eos(current_, drain_reason_, actions);
}

void StreamMachine::ask_for_keyframe(Time now, Actions& actions) {
  if (last_key_request_ != no_time && now - last_key_request_ < key_request_pause) return;
  last_key_request_ = now;
  actions.add({.kind = Action::Kind::request_keyframe});
}

// ── verdicts ──

Verdict StreamMachine::hold(Time now) {
  if (held_since_ == no_time) held_since_ = now;
  return {.kind = Verdict::Kind::hold};
}

Verdict StreamMachine::drop(const FrameFacts& facts, DropReason reason, Actions& actions,
                            Verdict::Answer answer) {
  if (reason != DropReason::fenced) note_seen(facts, answer != Verdict::Answer::refuse_retry, actions);
  held_since_ = no_time;
  if (facts.kind == MessageKind::frame) {
    ++counts_.taken;
    ++counts_.dropped[size_t(reason)];
  }
  note_rewound(facts, actions);
  return {.kind = Verdict::Kind::drop, .reason = reason, .answer = answer};
}

Verdict StreamMachine::drop_until_keyframe(const FrameFacts& facts, DropReason reason, Time now,
                                           Actions& actions) {
  awaits_key_ = true;
  awaits_reason_ = reason;
  ask_for_keyframe(now, actions);
  return drop(facts, reason, actions);
}

Verdict StreamMachine::pass(const FrameFacts& facts, Actions& actions) {
  note_seen(facts, true, actions);
  held_since_ = no_time;
  return {.kind = Verdict::Kind::pass};
}

Verdict StreamMachine::push(const FrameFacts& facts, const TimeBase::Mapping& time, Time now) {
  if (!current_.is_built || !current_.has_room || current_.eos_pushed) return hold(now);
  plan_ = {true, facts, time};
  const bool is_first = time_.last() == no_time;
  const bool says_so = !is_first && facts.kind == MessageKind::frame && !facts.rewound &&
                       (is_discontinuous_ || (awaits_key_ && facts.codec != Codec::none) ||
                        time.jump != TimeBase::Jump::none || facts.seq > expected_seq_);
  return {.kind = Verdict::Kind::push,
          .discontinuity = says_so,
          .replay = facts.replay,
          .instance = current_.id,
          .pts = time.internal};
}

void StreamMachine::pushed(Time now, Actions& actions) {
  if (!plan_.is_set) return;
  plan_.is_set = false;
  held_since_ = no_time;
  const FrameFacts& facts = plan_.facts;
  note_seen(facts, true, actions);
  note_activity(now, actions);
  if (std::exchange(is_blocked_, false)) notice(Action::Notice::running, false, actions);
  if (facts.kind != MessageKind::frame) return;
  ++counts_.taken;
  ++counts_.in_instance;
  ++current_.frames;
  time_.commit(plan_.time);
  if (facts.codec != Codec::none && stands_alone(facts)) awaits_key_ = false;
  is_replaying_ = facts.replay;
  if (plan_.time.jump != TimeBase::Jump::none) notice(Action::Notice::running, true, actions);  // L-10
  is_discontinuous_ = false;
  note_rewound(facts, actions);
}

void StreamMachine::full(Time now) {
  plan_.is_set = false;
  current_.has_room = false;
  hold(now);
}

// Blocked, which is neither silence (L-14, L-15) nor a decoder that gives nothing (L-06).
void StreamMachine::held(Time now, Actions& actions) {
  note_activity(now, actions);
  hold(now);
  if (current_.id != 0 && !current_.is_decoded && current_.deadline != never)
    current_.deadline = std::max(current_.deadline, now + rules_->start_timeout);
}

// ── frames ──

Verdict StreamMachine::offer_frame(const FrameFacts& facts, Time now, Actions& actions) {
  if (facts.rewound)
    return has_instance(state_) ? offer_to_instance(facts, now, actions)
                                : offer_without_instance(facts, now, actions);
  if (is_late(facts)) return drop(facts, DropReason::late, actions);  // L-09
  DropReason reason;
  if (is_duplicate(facts, reason)) {
    if (facts.producer == writer_) last_message_ = now;
    return drop(facts, reason, actions);
  }
  if (!has_instance(state_)) {
    if (state_ != LifeState::blacklisted) set_writer(facts);
    last_message_ = now;
    return offer_without_instance(facts, now, actions);
  }
  switch (claim(facts, now)) {
    case Claim::stranger:
      return drop(
          facts, DropReason::fenced, actions,
          rules_->on_conflict == OnConflict::reject ? Verdict::Answer::refuse : Verdict::Answer::acknowledge);
    case Claim::takes_over: {
      if (state_ == LifeState::draining) return end_before(facts, EosReason::changed, now, actions);
      last_takeover_ = last_message_ = now;
      set_writer(facts);
      actions.add({.kind = Action::Kind::takeover});
      is_discontinuous_ = true;
      if (state_ != LifeState::live && state_ != LifeState::idle)
        return end_before(facts, EosReason::changed, now, actions);
      switch_instance(facts, now, actions);
      return hold(now);
    }
    case Claim::owner:
      break;
  }
  last_message_ = now;
  // The writer has begun anew; the EOS between is lost.
  if (facts.epoch != writer_epoch_ && current_.id != 0)
    return end_before(facts, EosReason::end, now, actions);
  return offer_to_instance(facts, now, actions);
}

Verdict StreamMachine::offer_without_instance(const FrameFacts& facts, Time now, Actions& actions) {
  using enum LifeState;
  constexpr auto later = Verdict::Answer::refuse_retry;
  if (state_ == blacklisted) return drop(facts, DropReason::blacklisted, actions, Verdict::Answer::refuse);
  if (module_drains_ || is_revoked_) return drop(facts, DropReason::draining, actions, later);
  const bool key = stands_alone(facts);
  if (state_ == quarantined && (!key || now < retry_at_))
    return drop(facts, DropReason::quarantined, actions, later);
  if (state_ == rejected && (!key || std::exchange(reject_next_, false)))
    return drop(facts, DropReason::rejected, actions, later);
  if (key) return open(facts, now, actions);
  if (state_ == absent) enter(wait_key, now, actions);  // L-01
  ask_for_keyframe(now, actions);
  return drop(facts, DropReason::no_keyframe, actions);
}

// L-02, L-03, L-20: a place first.
Verdict StreamMachine::open(const FrameFacts& facts, Time now, Actions& actions) {
  if (!TimeBase{}.map({.pts = facts.pts, .base = facts.time_base}, never).is_valid)
    return drop(facts, DropReason::timestamp, actions);
  if (slot_ == Slot::none) {
    slot_ = Slot::asked;
    actions.add({.kind = Action::Kind::acquire_slot});
  }
  return hold(now);
}

// Ends what is there, then opens an epoch with this message, which waits.
Verdict StreamMachine::end_before(const FrameFacts& facts, EosReason reason, Time now, Actions& actions) {
  if (state_ != LifeState::draining)
    begin_drain(reason, rules_->drain_timeout, false, now, actions);
  else if (current_.is_built && !current_.eos_pushed && !facts.rewound)
    push_eos(current_, drain_reason_, actions);
  return hold(now);
}

Verdict StreamMachine::offer_to_instance(const FrameFacts& facts, Time now, Actions& actions) {
  using enum LifeState;
  const bool key = stands_alone(facts);
  if (current_.id == 0) {  // a place, but nothing built yet
    if (slot_ != Slot::held) return hold(now);
    if (!key) return drop(facts, DropReason::no_keyframe, actions);
    set_writer(facts);
    ++epoch_;
    decoder_ = 0;
    decoder_retried_ = false;
    set_format(facts);
    time_.reset();
    is_discontinuous_ = is_replaying_ = false;
    notice(Action::Notice::starting, false, actions);
    build(false, now, actions);
    return hold(now);
  }
  if (current_.eos_pushed)
    return module_drains_ ? drop(facts, DropReason::draining, actions, Verdict::Answer::refuse_retry)
                          : hold(now);

  const bool is_video = facts.codec != Codec::none;
  if (key && is_video && !facts.rewound) {
    const bool new_size =
        facts.width != format_.width || facts.height != format_.height || facts.layout != format_.layout;
    const bool is_steady = state_ == live || state_ == idle;
    if (facts.codec != format_.codec || (new_size && !takes_new_size(format_.codec)) ||
        (recycle_pending_ && is_steady)) {
      if (!is_steady) return end_before(facts, EosReason::changed, now, actions);
      switch_instance(facts, now, actions);  // L-11
      return hold(now);
    }
    if (new_size || facts.frame_rate != format_.frame_rate) {  // L-12
      set_format(facts);
      actions.add({.kind = Action::Kind::renew_caps, .instance = current_.id, .epoch = epoch_});
      notice(Action::Notice::running, false, actions);
    }
  }

  const bool is_inter = !is_intra(facts.codec);
  const bool has_gap = facts.seq > expected_seq_ && !facts.rewound;
  if (is_inter && !key) {
    if (awaits_key_) {
      note_activity(now, actions);
      return drop_until_keyframe(facts, awaits_reason_, now, actions);
    }
    if (has_gap && rules_->on_gap == OnGap::drop_to_keyframe) {  // L-08
      note_activity(now, actions);
      return drop_until_keyframe(facts, DropReason::gap, now, actions);
    }
  }

  const TimeBase::Mapping time = time_.map({.pts = facts.pts,
                                            .dts = facts.dts,
                                            .base = facts.time_base,
                                            .frame_rate = facts.frame_rate,
                                            .keyframe = key,
                                            .reorders = is_inter},
                                           rules_->time_jump_limit);
  if (!time.is_valid) return drop(facts, DropReason::timestamp, actions);
  if (time.jump != TimeBase::Jump::none && !is_discontinuous_) {  // L-10
    if (rules_->on_time_jump == OnTimeJump::drop) return drop(facts, DropReason::time_jump, actions);
    note_activity(now, actions);
    if (!key) return drop_until_keyframe(facts, DropReason::time_jump, now, actions);
    if (rules_->on_time_jump == OnTimeJump::new_epoch)
      return end_before(facts, EosReason::changed, now, actions);
  }
  note_activity(now, actions);
  return push(facts, time, now);
}

// ── the rest ──

Verdict StreamMachine::offer_eos(const FrameFacts& facts, Time now, Actions& actions) {
  using enum LifeState;
  const auto done = [&] {
    note_seen(facts, true, actions);
    held_since_ = no_time;
    return Verdict{.kind = Verdict::Kind::end};
  };
  if (facts.rewound && current_.id != 0) {
    if (!current_.is_built) return hold(now);
    if (!current_.eos_pushed) push_eos(current_, facts.eos_reason, actions);
    return done();
  }
  if (is_late(facts)) return drop(facts, DropReason::late, actions);
  if (!has_instance(state_)) {
    if (state_ == blacklisted) return drop(facts, DropReason::blacklisted, actions);
    set_writer(facts);
    const Verdict verdict =
        state_ == quarantined ? drop(facts, DropReason::quarantined, actions) : pass(facts, actions);
    writer_ended_ = true;
    if (state_ == wait_key || state_ == rejected) become_absent(now, actions);  // L-04
    return verdict;
  }
  if (claim(facts, now) != Claim::owner) return drop(facts, DropReason::fenced, actions);
  last_message_ = now;
  if (current_.id == 0) {  // its frames were dropped while it waited for a place
    const Verdict verdict = pass(facts, actions);
    writer_ended_ = true;
    withdraw(now, actions);
    return verdict;
  }
  if (facts.epoch != writer_epoch_) return end_before(facts, EosReason::end, now, actions);
  if (!current_.is_built) return hold(now);
  // L-16. One that we pushed ourselves was meant for the same epoch.
  if (state_ != draining) begin_drain(EosReason::end, rules_->drain_timeout, false, now, actions);
  if (!current_.eos_pushed) push_eos(current_, EosReason::end, actions);
  acknowledges_eos_ = true;
  const Verdict verdict = done();
  writer_ended_ = true;
  return verdict;
}

Verdict StreamMachine::offer_local_eos(const FrameFacts& facts, Time now, Actions& actions) {
  if (eos_queued_ && facts.epoch == epoch_ && current_.id != 0 && !current_.eos_pushed) {
    if (!current_.is_built) return hold(now);
    push_eos(current_, drain_reason_, actions);
  }
  held_since_ = no_time;
  return {.kind = Verdict::Kind::end};
}

// Keeps its place among the frames where there are any. May come from another writer: a sensor beside the
// camera.
Verdict StreamMachine::offer_user_data(const FrameFacts& facts, Time now, Actions& actions) {
  const bool is_owner = has_writer_ && facts.producer == writer_;
  const TimeBase::Mapping time{.internal = std::max<Time>(0, time_.last())};
  if (facts.rewound && current_.id != 0)
    return current_.eos_pushed ? pass(facts, actions) : push(facts, time, now);
  DropReason reason;
  if (is_late(facts)) return drop(facts, DropReason::late, actions);
  if (is_owner && is_duplicate(facts, reason)) return drop(facts, reason, actions);
  if (state_ == LifeState::blacklisted)
    return drop(facts, DropReason::blacklisted, actions, Verdict::Answer::refuse);
  if (!has_instance(state_)) {  // L-04
    if (!has_writer_ || is_owner) set_writer(facts);
    if (state_ == LifeState::absent && !module_drains_ && !is_revoked_)
      enter(LifeState::wait_key, now, actions);
    return pass(facts, actions);
  }
  if (is_owner && facts.epoch != writer_epoch_ && current_.id != 0)
    return end_before(facts, EosReason::end, now, actions);
  if (current_.id == 0) return slot_ == Slot::held ? pass(facts, actions) : hold(now);
  return push(facts, time, now);
}

Verdict StreamMachine::offer_stream_update(const FrameFacts& facts, Time now, Actions& actions) {
  if (is_late(facts)) return drop(facts, DropReason::late, actions);
  if (has_instance(state_)) {
    if (claim(facts, now) != Claim::owner) return drop(facts, DropReason::fenced, actions);
    if (facts.epoch == writer_epoch_) {
      last_message_ = now;
      DropReason reason;
      if (is_duplicate(facts, reason)) return drop(facts, reason, actions);
      if (facts.discontinuity) {
        awaits_key_ = true;
        awaits_reason_ = DropReason::gap;
        is_discontinuous_ = true;
      }
    }
  } else {
    if (state_ == LifeState::blacklisted) return drop(facts, DropReason::blacklisted, actions);
    set_writer(facts);
    if (state_ == LifeState::absent && !module_drains_ && !is_revoked_)
      enter(LifeState::wait_key, now, actions);
  }
  return pass(facts, actions);
}

}  // namespace sightglass::stream
