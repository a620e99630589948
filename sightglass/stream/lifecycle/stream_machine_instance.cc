// What becomes of instances: how epochs open, change, end and fail, and what time brings.
#include <algorithm>
#include <cassert>
#include <format>
#include <utility>

#include "sightglass/stream/lifecycle/stream_machine.h"

namespace sightglass::stream {

namespace {
constexpr Time tombstone = 60 * second;
constexpr Time longest_stall = 60 * second;  // where the rate alone says so

__extension__ using Wide = __int128;

Time after(Time start, Time span) { return span > never - start ? never : start + span; }
}  // namespace

StreamMachine::StreamMachine(std::shared_ptr<const StreamRules> rules, uint64_t seed)
    : rules_(std::move(rules)),
      random_(seed),
      failures_(rules_->max_failures),
      frame_errors_(rules_->max_frame_errors) {}

void StreamMachine::set_rules(std::shared_ptr<const StreamRules> rules) {
  rules_ = std::move(rules);
  // A changed limit starts its count anew.
  if (failures_.most() != rules_->max_failures) failures_ = RecentEvents(rules_->max_failures);
  if (frame_errors_.most() != rules_->max_frame_errors)
    frame_errors_ = RecentEvents(rules_->max_frame_errors);
}

void StreamMachine::enter(LifeState state, Time now, Actions& actions) {
  if (state == state_) return;
  assert(may_follow(state_, state));
  const LifeState from = std::exchange(state_, state);
  since_ = now;
  held_since_ = no_time;
  is_blocked_ = false;
  actions.add({.kind = Action::Kind::state_changed, .from = from, .to = state, .epoch = epoch_});
}

void StreamMachine::notice(Action::Notice notice, bool discontinuity, Actions& actions) {
  actions.add({.kind = Action::Kind::stream_update,
               .notice = notice,
               .discontinuity = discontinuity,
               .instance = current_.id,
               .epoch = epoch_});
}

void StreamMachine::set_format(const FrameFacts& facts) {
  format_ = {facts.codec, facts.width, facts.height, facts.layout, facts.frame_rate};
}

StreamMachine::Instance* StreamMachine::find(uint32_t id) {
  if (id == 0) return nullptr;
  return id == current_.id ? &current_ : id == old_.id ? &old_ : nullptr;
}

Time StreamMachine::stall_after() const {
  const Fraction rate = format_.frame_rate;
  if (rate.num <= 0 || rate.den <= 0) return rules_->stall_after;
  // Any rate that a message can tell: 2^31 · 5 · 10^9 does not fit 64 bits.
  const Wide five_frames = Wide(5) * second * rate.den / rate.num;
  return std::max(rules_->stall_after, Time(std::min<Wide>(five_frames, longest_stall)));
}

// ── a place, an instance ──

void StreamMachine::slot_granted(Time now, Actions& actions) {
  if (slot_ != Slot::asked && slot_ != Slot::pending) {
    // Withdrawn meanwhile.
    if (slot_ == Slot::none) actions.add({.kind = Action::Kind::release_slot});
    return;
  }
  slot_ = Slot::held;
  slot_deadline_ = after(now, rules_->start_timeout);
  enter(LifeState::starting, now, actions);
}

void StreamMachine::slot_pending(Time now, Actions& actions) {
  if (slot_ != Slot::asked) return;
  slot_ = Slot::pending;
  // What the other stream may take at most to go.
  slot_deadline_ = after(now, rules_->drain_timeout + rules_->teardown_timeout);
  enter(LifeState::starting, now, actions);
}

void StreamMachine::slot_refused(Time now, Actions& actions) {
  if (slot_ != Slot::asked) return;
  slot_ = Slot::none;
  reject_next_ = true;
  if (state_ == LifeState::rejected) return;
  enter(LifeState::rejected, now, actions);
  notice(Action::Notice::rejected, false, actions);
}

void StreamMachine::give_slot_back(Actions& actions) {
  if (slot_ != Slot::none) actions.add({.kind = Action::Kind::release_slot});
  slot_ = Slot::none;
  slot_deadline_ = never;
}

// STARTING without an instance: as if it had never come.
void StreamMachine::withdraw(Time now, Actions& actions) {
  give_slot_back(actions);
  become_absent(now, actions);
}

void StreamMachine::build(bool hold_results, Time now, Actions& actions) {
  current_ = {.id = ++last_instance_, .epoch = epoch_, .deadline = after(now, rules_->start_timeout)};
  slot_deadline_ = never;
  time_at_start_ = time_;
  awaits_key_ = true;
  awaits_reason_ = DropReason::gap;
  running_since_ = no_time;
  frame_errors_.clear();
  actions.add({.kind = Action::Kind::build_instance,
               .decoder = decoder_,
               .hold_results = hold_results,
               .instance = current_.id,
               .epoch = epoch_});
}

void StreamMachine::built(uint32_t instance, Time, Actions& actions) {
  Instance* const found = find(instance);
  if (!found || found->is_built) return;
  found->is_built = found->has_room = true;
  if (found == &current_ && rewinding_ == 0 && rewound_left_ == 0 && std::exchange(eos_again_, false))
    push_eos(current_, drain_reason_, actions);
}

void StreamMachine::room(uint32_t instance, Time) {
  if (Instance* const found = find(instance)) found->has_room = true;
}

void StreamMachine::first_decoded(uint32_t instance, Time now, Actions& actions) {
  if (instance == 0 || instance != current_.id || current_.is_decoded) return;
  current_.is_decoded = true;
  current_.deadline = never;
  running_since_ = now;
  actions.add({.kind = Action::Kind::forget_taken});
  maybe_live(now, actions);
}

void StreamMachine::maybe_live(Time now, Actions& actions) {
  if (!current_.is_decoded || old_.id != 0) return;
  if (state_ != LifeState::starting && state_ != LifeState::switching) return;
  // Since when there is silence: not while it started.
  last_activity_ = std::max(last_activity_, now);
  enter(LifeState::live, now, actions);  // L-05, L-13
  notice(Action::Notice::running, false, actions);
}

// L-11: the next instance is built beside the one that drains.
void StreamMachine::switch_instance(const FrameFacts& facts, Time now, Actions& actions) {
  recycle_pending_ = false;
  old_ = std::exchange(current_, {});
  old_.deadline = after(now, rules_->drain_timeout);
  push_eos(old_, EosReason::changed, actions);
  if (facts.codec != format_.codec) decoder_ = 0;
  decoder_retried_ = false;
  set_format(facts);
  ++epoch_;
  enter(LifeState::switching, now, actions);
  notice(Action::Notice::starting, false, actions);
  build(true, now, actions);
}

void StreamMachine::push_eos(Instance& instance, EosReason reason, Actions& actions) {
  instance.eos_pushed = true;
  if (&instance == &current_) eos_queued_ = false;
  actions.add(
      {.kind = Action::Kind::push_eos, .reason = reason, .instance = instance.id, .epoch = instance.epoch});
}

void StreamMachine::send_eos(const Instance& instance, EosReason reason, Actions& actions) {
  // The writer's own EOS counts as processed, and will not come again where the partition goes.
  const bool is_writers = acknowledges_eos_ && &instance == &current_;
  if ((is_revoked_ && !is_writers) || (reason == EosReason::changed && !rules_->eos_on_change)) return;
  actions.add({.kind = Action::Kind::eos_to_sinks,
               .reason = reason,
               .instance = instance.id,
               .epoch = instance.epoch});
}

void StreamMachine::reap(Instance& instance, DropReason reason, Time now, Actions& actions) {
  if (instance.id == 0) return;
  counts_.in_instance -= instance.frames;
  counts_.dropped[size_t(reason)] += instance.frames;
  reaping_.push_back({instance.id, after(now, rules_->teardown_timeout)});
  actions.add({.kind = Action::Kind::reap, .instance = instance.id, .epoch = instance.epoch});
  instance = {};
}

void StreamMachine::torn_down(uint32_t instance, Time, Actions& actions) {
  const auto found = std::ranges::find(reaping_, instance, &Reaping::id);
  if (found == reaping_.end()) return;
  if (found->deadline == never) actions.add({.kind = Action::Kind::not_stuck, .instance = instance});
  reaping_.erase(found);
}

// ── frames in it ──

void StreamMachine::result(uint32_t instance, Outcome outcome, Time) {
  Instance* const found = find(instance);
  if (!found || found->frames == 0) return;
  found->has_results = true;
  --found->frames;
  --counts_.in_instance;
  switch (outcome) {
    case Outcome::stored:
      ++counts_.in_sinks;
      break;
    case Outcome::no_picture:
      ++counts_.dropped[size_t(DropReason::no_picture)];
      break;
    case Outcome::dropped:
      ++counts_.dropped[size_t(DropReason::element)];
      break;
    case Outcome::replay:
      ++counts_.dropped[size_t(DropReason::replay)];
      break;
  }
}

void StreamMachine::settled(bool stored, uint64_t frames) {
  frames = std::min(frames, counts_.in_sinks);
  counts_.in_sinks -= frames;
  (stored ? counts_.stored : counts_.dropped[size_t(DropReason::sink)]) += frames;
}

void StreamMachine::frame_error(uint32_t instance, Time now, Actions& actions) {
  if (!find(instance)) return;
  if (frame_errors_.add(now, rules_->frame_error_window) <= rules_->max_frame_errors) return;
  failed(instance, Fault::frame_errors,
         std::format("more than {} frames failed within {} s", rules_->max_frame_errors,
                     rules_->frame_error_window / second),
         now, actions);
}

// ── ends ──

void StreamMachine::begin_drain(EosReason reason, Time limit, bool behind_queue, Time now, Actions& actions) {
  drain_reason_ = reason;
  drain_deadline_ = after(now, limit);
  enter(LifeState::draining, now, actions);
  if (behind_queue) {
    eos_queued_ = true;
    actions.add(
        {.kind = Action::Kind::queue_eos, .reason = reason, .instance = current_.id, .epoch = epoch_});
  } else if (current_.is_built) {
    push_eos(current_, reason, actions);
  }
}

void StreamMachine::ended(uint32_t instance, Time now, Actions& actions) {
  Instance* const found = find(instance);
  if (!found) return;
  if (!found->eos_pushed) {
    failed(instance, Fault::element, "ended by itself, before its input did", now, actions);
    return;
  }
  if (found == &old_) {
    old_is_out(true, now, actions);
  } else {
    current_.has_ended = true;
    if (old_.id == 0) epoch_is_out(drain_reason_, DropReason::no_picture, now, actions);  // L-17
  }
}

void StreamMachine::old_is_out(bool complete, Time now, Actions& actions) {
  send_eos(old_, complete ? EosReason::changed : EosReason::error, actions);
  reap(old_, complete ? DropReason::no_picture : DropReason::unfinished, now, actions);
  actions.add({.kind = Action::Kind::release_results, .instance = current_.id, .epoch = current_.epoch});
  maybe_live(now, actions);
  if (current_.has_ended) epoch_is_out(drain_reason_, DropReason::no_picture, now, actions);
}

void StreamMachine::epoch_is_out(EosReason reason, DropReason rest, Time now, Actions& actions) {
  if (old_.id != 0) {
    send_eos(old_, reason, actions);
    reap(old_, rest, now, actions);
  }
  // Behind the writer's own EOS it is an end, whoever else wanted to drain.
  send_eos(current_, acknowledges_eos_ && reason == EosReason::drain ? EosReason::end : reason, actions);
  if (std::exchange(acknowledges_eos_, false))
    actions.add({.kind = Action::Kind::acknowledge_eos, .epoch = current_.epoch});
  reap(current_, rest, now, actions);
  actions.add({.kind = Action::Kind::forget_taken});
  give_slot_back(actions);
  become_absent(now, actions);
}

void StreamMachine::become_absent(Time now, Actions& actions) {
  enter(LifeState::absent, now, actions);
  eos_queued_ = recycle_pending_ = reject_next_ = is_replaying_ = eos_again_ = false;
  rewound_left_ = 0;
  drain_deadline_ = never;
  seen_.shrink();
  forget_at_ = after(now, tombstone);
  if (module_drains_ || is_revoked_) actions.add({.kind = Action::Kind::drained, .epoch = epoch_});
  if (!is_revoked_) return;
  // Whoever owns the partition next goes on; should it come back, it is as new.
  is_revoked_ = has_writer_ = false;
  seen_.restart();
  forget_at_ = after(now, second);
  actions.add({.kind = Action::Kind::forget});
}

// ── faults ──

void StreamMachine::failed(uint32_t instance, Fault fault, std::string_view text, Time now,
                           Actions& actions) {
  Instance* const found = find(instance);
  if (!found) return;
  // That there is no second decoder says less than why the first one failed.
  if (!decoder_retried_ || fault != Fault::no_decoder) last_error_ = text;
  if (found == &old_) {
    old_is_out(false, now, actions);
    return;
  }
  const bool is_decoders =
      fault == Fault::decoder || fault == Fault::unsupported || fault == Fault::no_decoder;
  if (is_decoders && !current_.is_decoded)
    next_decoder_or_fail(now, actions);
  else
    fail(now, actions);
}

// L-06
void StreamMachine::next_decoder_or_fail(Time now, Actions& actions) {
  const bool ends_already = current_.eos_pushed && current_.has_results;
  if (std::exchange(decoder_retried_, true) || ends_already) {
    fail(now, actions);
    return;
  }
  ++decoder_;
  time_ = time_at_start_;
  is_replaying_ = is_discontinuous_ = false;
  if (current_.has_results) {  // some are settled already: the rest cannot be decoded without them
    reap(current_, DropReason::failed, now, actions);
    actions.add({.kind = Action::Kind::forget_taken});
    actions.add({.kind = Action::Kind::request_keyframe});
  } else {  // not lost: they come again
    eos_again_ = current_.eos_pushed;
    rewinding_ = std::exchange(current_.frames, 0);
    reap(current_, DropReason::failed, now, actions);
    actions.add({.kind = Action::Kind::rewind});
  }
  build(old_.id != 0, now, actions);
}

void StreamMachine::rewound(uint64_t frames, Time, Actions& actions) {
  const uint64_t back = std::min(frames, rewinding_);
  counts_.in_instance -= rewinding_;
  counts_.taken -= back;
  counts_.dropped[size_t(DropReason::failed)] += rewinding_ - back;
  if (rewinding_ > 0 && back == 0) actions.add({.kind = Action::Kind::request_keyframe});
  rewinding_ = 0;
  rewound_left_ = back;
  if (back == 0 && current_.is_built && std::exchange(eos_again_, false))
    push_eos(current_, drain_reason_, actions);
}

// L-19
void StreamMachine::fail(Time now, Actions& actions) {
  using enum LifeState;
  if (running_since_ != no_time && now - running_since_ >= rules_->healthy_after) {
    failures_.clear();
    blacklistings_ = 0;
  }
  last_failure_ = now;
  const size_t failures = failures_.add(now, rules_->failure_window);
  for (Instance* instance : {&old_, &current_}) {
    if (instance->id == 0) continue;
    send_eos(*instance, EosReason::error, actions);
    reap(*instance, DropReason::failed, now, actions);
  }
  if (std::exchange(acknowledges_eos_, false))
    actions.add({.kind = Action::Kind::acknowledge_eos, .epoch = epoch_});
  actions.add({.kind = Action::Kind::forget_taken});
  give_slot_back(actions);
  enter(quarantined, now, actions);
  eos_queued_ = recycle_pending_ = is_replaying_ = eos_again_ = false;
  rewound_left_ = 0;
  drain_deadline_ = never;
  seen_.shrink();
  retry_at_ = after(now, back_off());
  notice(Action::Notice::quarantined, false, actions);
  if (failures >= rules_->max_failures) {  // L-21
    const unsigned doublings = std::min(blacklistings_++, 30u);
    const Time ttl = rules_->blacklist_ttl > rules_->blacklist_max >> doublings
                         ? rules_->blacklist_max
                         : rules_->blacklist_ttl << doublings;
    blacklisted_until_ = after(now, ttl);
    failures_.clear();
    enter(blacklisted, now, actions);
    actions.add({.kind = Action::Kind::blacklist, .deadline = blacklisted_until_});
  }
  if (is_revoked_)
    become_absent(now, actions);
  else if (module_drains_)
    actions.add({.kind = Action::Kind::drained, .epoch = epoch_});
}

// quarantine_initial · 2^(failures − 1), moved by up to ± jitter, never over quarantine_max.
Time StreamMachine::back_off() {
  const size_t doublings = std::min<size_t>(failures_.size() - 1, 40);
  const Time most = rules_->quarantine_max;
  Time span = rules_->quarantine_initial > most >> doublings ? most : rules_->quarantine_initial << doublings;
  random_ += 0x9e3779b97f4a7c15u;  // splitmix64
  uint64_t mixed = (random_ ^ (random_ >> 30)) * 0xbf58476d1ce4e5b9u;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
  const double unit = double((mixed ^ (mixed >> 31)) >> 11) / double(uint64_t(1) << 53);  // 0..1
  span += Time(double(span) * rules_->jitter / 100 * (2 * unit - 1));
  return std::clamp<Time>(span, 1, most);
}

// ── commands ──

bool StreamMachine::command(Command command, Time now, Actions& actions) {
  using enum LifeState;
  const bool has_epoch = current_.id != 0;
  const auto drain = [&](EosReason reason, Time limit) {
    if (state_ == draining)
      drain_deadline_ = std::min(drain_deadline_, after(now, limit));
    else
      begin_drain(reason, limit, true, now, actions);
  };
  switch (command) {
    case Command::end: {
      if (state_ == draining || state_ == absent || state_ == quarantined || state_ == blacklisted)
        return false;
      if (has_epoch)
        drain(EosReason::end, rules_->drain_timeout);  // L-16
      else
        withdraw(now, actions);
      return true;
    }
    case Command::quarantine: {
      if (!has_epoch) return false;
      last_error_ = "quarantined by an operator";
      fail(now, actions);
      return true;
    }
    case Command::release: {
      if (state_ != quarantined && state_ != blacklisted) return false;
      failures_.clear();
      blacklistings_ = 0;
      if (state_ == blacklisted) actions.add({.kind = Action::Kind::blacklist, .deadline = 0});
      become_absent(now, actions);
      return true;
    }
    case Command::recycle: {
      if (!has_epoch || state_ == draining) return false;
      recycle_pending_ = true;
      actions.add({.kind = Action::Kind::request_keyframe});
      last_key_request_ = now;
      return true;
    }
    case Command::request_keyframe: {
      if (state_ == absent || state_ == blacklisted || state_ == quarantined) return false;
      actions.add({.kind = Action::Kind::request_keyframe});
      last_key_request_ = now;
      return true;
    }
    case Command::evict: {
      if (!has_instance(state_)) return false;
      if (!has_epoch)
        withdraw(now, actions);
      else if (state_ != draining)
        begin_drain(EosReason::evicted, rules_->drain_timeout, false, now, actions);
      return true;
    }
    case Command::drain:
    case Command::revoke: {
      const bool revoke = command == Command::revoke;
      (revoke ? is_revoked_ : module_drains_) = true;
      if (has_epoch)
        drain(EosReason::drain, revoke ? rules_->revoke_timeout : rules_->drain_timeout);
      else if (has_instance(state_) || revoke)
        withdraw(now, actions);
      else
        actions.add({.kind = Action::Kind::drained, .epoch = epoch_});
      return true;
    }
    case Command::abandon: {
      is_revoked_ = true;
      // Whoever has the partition now reads the writer's EOS as well.
      if (std::exchange(acknowledges_eos_, false))
        actions.add({.kind = Action::Kind::acknowledge_eos, .epoch = epoch_});
      if (has_epoch)
        epoch_is_out(EosReason::error, DropReason::unfinished, now, actions);
      else
        withdraw(now, actions);
      return true;
    }
  }
  return false;
}

// ── time ──

Time StreamMachine::state_deadline() const {
  using enum LifeState;
  switch (state_) {
    case absent:
      return forget_at_;
    case wait_key:
    case rejected:
      return after(since_, rules_->key_timeout);
    case quarantined:
      return after(std::max(retry_at_, after(last_failure_, rules_->failure_window)), rules_->key_timeout);
    case blacklisted:
      return blacklisted_until_;
    case starting:
      return current_.id == 0 ? slot_deadline_ : current_.deadline;
    case live: {
      const Time since = held_since_ != no_time ? held_since_ : last_activity_;
      return after(since, stall_after());
    }
    case idle:
      return after(last_activity_, rules_->idle_timeout);
    case switching:
      return std::min(old_.deadline, current_.deadline);
    case draining:
      return drain_deadline_;
  }
  return never;
}

Time StreamMachine::next_deadline() const {
  Time next = state_deadline();
  for (const Reaping& reaping : reaping_) next = std::min(next, reaping.deadline);
  return next;
}

void StreamMachine::tick(Time now, Actions& actions) {
  for (Reaping& reaping : reaping_) {  // L-23
    if (reaping.deadline > now) continue;
    reaping.deadline = never;
    actions.add({.kind = Action::Kind::set_aside, .instance = reaping.id});
  }
  // What is due at a time may make another thing due.
  for (int i = 0; i < 4 && state_deadline() <= now; ++i)
    if (!tick_once(now, actions)) return;
}

bool StreamMachine::tick_once(Time now, Actions& actions) {
  using enum LifeState;
  switch (state_) {
    case absent:
      forget_at_ = after(now, tombstone);  // asks again should the table keep it
      actions.add({.kind = Action::Kind::forget});
      return false;
    case wait_key:
    case rejected:
      become_absent(now, actions);
      return true;  // L-04
    case quarantined:
      failures_.clear();
      become_absent(now, actions);
      return true;
    case blacklisted:
      actions.add({.kind = Action::Kind::blacklist, .deadline = 0});
      become_absent(now, actions);
      return true;
    case starting:
      if (current_.id != 0) {  // L-06
        last_error_ = std::format("no decoded frame within {} ms", rules_->start_timeout / millisecond);
        next_decoder_or_fail(now, actions);
      } else if (slot_ == Slot::pending) {
        give_slot_back(actions);
        reject_next_ = true;
        enter(rejected, now, actions);
        notice(Action::Notice::rejected, false, actions);
      } else {
        withdraw(now, actions);
      }
      return true;
    case live:
      if (held_since_ != no_time) {  // no room downstream
        if (!std::exchange(is_blocked_, true)) notice(Action::Notice::blocked, false, actions);
        held_since_ = now;
        return false;
      }
      enter(idle, now, actions);  // L-14
      notice(Action::Notice::stalled, false, actions);
      actions.add({.kind = Action::Kind::flush_batches, .instance = current_.id, .epoch = epoch_});
      return true;
    case idle:
      begin_drain(EosReason::idle, rules_->drain_timeout, false, now, actions);
      return true;  // L-15
    case switching:
      if (old_.deadline <= now) {  // L-18
        old_is_out(false, now, actions);
        return true;
      }
      last_error_ = std::format("no decoded frame within {} ms", rules_->start_timeout / millisecond);
      next_decoder_or_fail(now, actions);
      return true;
    case draining:  // L-18
      last_error_ = "results were missing when drain_timeout ended";
      epoch_is_out(EosReason::error, DropReason::unfinished, now, actions);
      return true;
  }
  return false;
}

}  // namespace sightglass::stream
