#include <algorithm>
#include <utility>

#include "sightglass/module/stream_runner.h"

namespace sightglass::module {
namespace {

using stream::Action;
using stream::LifeState;
using stream::StreamMachine;

}  // namespace

std::vector<StreamStatus::Dropped> dropped_by_stage(const SourceCounts& counts) {
  std::vector<StreamStatus::Dropped> shown;
  for (const auto& [stage, reason, count] : counts.dropped_by_stage)
    shown.push_back({to_string(stage), reason, count});
  return shown;
}

// In order, then what they have led to. True: something has, so the head of the queue is to be offered again.
bool StreamRunner::execute(stream::Actions& actions) {
  for (const Action& action : actions) run_action(action, actions);
  bool has_fed = false;
  while (!feedback_.empty()) {
    has_fed = true;
    const Feedback feedback = std::move(feedback_.front());
    feedback_.erase(feedback_.begin());
    stream::Actions more;
    tell(feedback, more);
    for (const Action& action : more) run_action(action, more);
  }
  return has_fed;
}

void StreamRunner::tell(const Feedback& feedback, stream::Actions& actions) {
  switch (feedback.kind) {
    case Feedback::Kind::slot_granted:
      return machine_.slot_granted(now(), actions);
    case Feedback::Kind::slot_pending:
      return machine_.slot_pending(now(), actions);
    case Feedback::Kind::slot_refused:
      return machine_.slot_refused(now(), actions);
    case Feedback::Kind::built:
      return machine_.built(feedback.instance, now(), actions);
    case Feedback::Kind::failed:
      return machine_.failed(feedback.instance, feedback.fault, feedback.text, now(), actions);
    case Feedback::Kind::rewound:
      return machine_.rewound(feedback.count, now(), actions);
  }
}

void StreamRunner::run_action(const Action& action, const stream::Actions& all) {
  switch (action.kind) {
    case Action::Kind::acquire_slot:
      switch (services_->table->acquire(*this, *rules_)) {
        case stream::StreamTable::Slot::granted:
          feedback_.push_back({.kind = Feedback::Kind::slot_granted});
          break;
        case stream::StreamTable::Slot::pending:
          feedback_.push_back({.kind = Feedback::Kind::slot_pending});
          break;
        case stream::StreamTable::Slot::refused:
          feedback_.push_back({.kind = Feedback::Kind::slot_refused});
          break;
      }
      break;
    case Action::Kind::release_slot:
      services_->table->release(*this);
      break;
    case Action::Kind::build_instance:
      build(action);
      break;
    case Action::Kind::push_eos:
      if (Live* const live = find(action.instance); live && live->instance) {
        live->eos_pushed = true;
        live->instance->end();
      }
      break;
    case Action::Kind::queue_eos: {
      auto job = std::make_shared<Job>();
      stream::FrameFacts facts{.kind = stream::MessageKind::end_of_stream};
      facts.local = true;
      facts.epoch = action.epoch;
      facts.eos_reason = action.reason;
      (void)queue_.push(facts, job, [](const stream::FrameFacts&, std::shared_ptr<Job>&) {});
      break;
    }
    case Action::Kind::release_results:
      release_results(action.instance);
      break;
    case Action::Kind::renew_caps:
      if (Live* const live = find(action.instance); live && live->instance && offered_)
        if (auto set = live->instance->set_format(format_of(*offered_->delivery.message->frame)); !set)
          feedback_.push_back({.kind = Feedback::Kind::failed,
                               .instance = action.instance,
                               .fault = StreamMachine::Fault::unsupported,
                               .text = set.error().to_string()});
      break;
    case Action::Kind::reap:
      reap(action.instance);
      break;
    case Action::Kind::set_aside:  // the reaper knows which ones, also of streams that are forgotten
    case Action::Kind::not_stuck:
      break;
    case Action::Kind::rewind: {
      const size_t frames = queue_.rewind();
      retaining_ = 0;
      if (frames == 0)
        drop_orphans();
      else
        orphans_.clear();  // they are in the queue again
      feedback_.push_back({.kind = Feedback::Kind::rewound, .count = frames});
      break;
    }
    case Action::Kind::forget_taken:
      queue_.forget_taken();
      retaining_ = 0;
      drop_orphans();
      break;
    case Action::Kind::flush_batches:
      if (Live* const live = find(action.instance); live && live->instance) live->instance->flush_batches();
      break;
    case Action::Kind::request_keyframe:
      if (services_->request_keyframe) services_->request_keyframe(writer_, id(), writer_epoch_);
      break;
    case Action::Kind::stream_update:
      announce(action);
      break;
    case Action::Kind::eos_to_sinks:
      end_to_sinks(action, std::ranges::contains(all, Action::Kind::acknowledge_eos, &Action::kind));
      break;
    case Action::Kind::acknowledge_eos:
      if (std::ranges::contains(all, Action::Kind::eos_to_sinks, &Action::kind)) break;
      if (const auto eos = std::exchange(eos_, nullptr); eos && eos->delivery.settlement)
        eos->delivery.settlement->processed();
      break;
    case Action::Kind::count_lost:
      account_->count_lost(action.count);
      break;
    case Action::Kind::takeover:
      break;  // told by its state
    case Action::Kind::state_changed:
      note_state(action.from);
      break;
    case Action::Kind::blacklist:
      set_refused_until(action.deadline);
      break;
    case Action::Kind::drained:
      is_drained_ = true;
      break;
    case Action::Kind::forget:
      has_left_ = services_->table->forget(*this) && is_leaving_;
      // A message is on its way to it: it begins anew.
      if (is_leaving_ && !has_left_) is_leaving_ = is_drained_ = false;
      break;
  }
}

void StreamRunner::build(const Action& action) {
  Live live{.id = action.instance, .epoch = action.epoch, .holds_results = action.hold_results};
  live.link = std::make_shared<Link>(weak_from_this(), action.instance);
  InstanceOptions options{.source_id = id(),
                          .epoch = action.epoch,
                          .decoder_choice = action.decoder,
                          .parameters = services_->parameters()};
  if (key_job_) options.format = format_of(*key_job_->delivery.message->frame);
  const bool falls_back = action.decoder > std::exchange(decoder_, action.decoder);
  if (falls_back) options.decoder_failure = machine_.last_error();
  auto made = services_->start_instance(options, *live.link);
  if (made && falls_back) account_->count_decoder_fallback();
  if (made) {
    live.instance = std::move(*made);
    live_.push_back(std::move(live));
    watch_instances();
    feedback_.push_back({.kind = Feedback::Kind::built, .instance = action.instance});
    return;
  }
  const bool no_decoder =
      made.error().code == ErrorCode::unavailable || made.error().code == ErrorCode::not_found;
  feedback_.push_back({.kind = Feedback::Kind::failed,
                       .instance = action.instance,
                       .fault = no_decoder ? StreamMachine::Fault::no_decoder
                                : made.error().code == ErrorCode::unsupported
                                    ? StreamMachine::Fault::unsupported
                                    : StreamMachine::Fault::element,
                       .text = made.error().to_string()});
}

void StreamRunner::reap(uint32_t instance) {
  const auto live = std::ranges::find(live_, instance, &Live::id);
  if (live == live_.end()) {
    // It could not even be built.
    post({.kind = Event::Kind::torn_down, .instance = instance});
    return;
  }
  const std::string_view reason =
      to_string(live->eos_pushed ? stream::DropReason::unfinished : stream::DropReason::failed);
  for (InFlight& flying : live->in_flight) {
    if (flying.note)
      deliver(std::move(flying.note));
    else if (retaining_ == instance)
      orphans_.push_back(std::move(flying.job));
    else
      drop_finally(*flying.job, reason);
  }
  orphan_reason_ = reason;
  for (auto& parcel : live->held) deliver(std::move(parcel));
  auto stopped = [self = weak_from_this(), instance] {
    if (const auto stream = self.lock()) stream->post({.kind = Event::Kind::torn_down, .instance = instance});
  };
  services_->reaper->reap(std::move(live->instance), std::move(live->link),
                          steady_now_ns() + rules_->teardown_timeout, std::move(stopped));
  live_.erase(live);
  watch_instances();
}

void StreamRunner::watch_instances() {
  const std::scoped_lock lock(status_mutex_);
  watched_.clear();
  for (const Live& live : live_) watched_.push_back(live.instance);
}

StreamInstance::Work StreamRunner::oldest_work() const {
  const std::scoped_lock lock(status_mutex_);
  StreamInstance::Work oldest;
  for (const auto& instance : watched_)
    if (auto work = instance->oldest_work();
        work.since_ns && (!oldest.since_ns || work.since_ns < oldest.since_ns))
      oldest = std::move(work);
  return oldest;
}

void StreamRunner::release_results(uint32_t instance) {
  Live* const live = find(instance);
  if (!live) return;
  live->holds_results = false;
  for (auto& parcel : live->held) deliver(std::move(parcel));
  live->held.clear();
}

void StreamRunner::end_to_sinks(const Action& action, bool acknowledges) {
  release_results(action.instance);  // of one that failed while it was held back
  const EpochCount count = count_of(action.epoch);
  auto record = end_record({.source_id = id(), .epoch = action.epoch, .seq = last_seq_ + 1, .pts = last_pts_},
                           action.reason, count.frames, count.last);
  // The writer's EOS is acknowledged when the sinks have this one, which is behind all results.
  std::shared_ptr<stream::Settlement> settlement;
  if (acknowledges)
    if (const auto eos = std::exchange(eos_, nullptr)) settlement = eos->delivery.settlement;
  deliver(std::make_shared<const Parcel>(std::move(record), nullptr, nullptr, std::move(settlement)));
}

void StreamRunner::announce(const Action& action) {
  const auto& format = machine_.format();
  stream::StreamUpdate update;
  update.state = stream::StreamState(action.notice);
  if (format.codec != stream::Codec::none) update.codec = std::string(stream::to_string(format.codec));
  if (format.width > 0) {
    update.width = format.width;
    update.height = format.height;
  }
  if (format.frame_rate.num > 0)
    update.framerate = stream::Rational{format.frame_rate.num, format.frame_rate.den};
  update.discontinuity = action.discontinuity;
  if (action.notice == Action::Notice::quarantined || action.notice == Action::Notice::rejected)
    update.reason = machine_.last_error();
  auto parcel = std::make_shared<const Parcel>(
      stream_record({.source_id = id(), .epoch = machine_.epoch(), .seq = last_seq_, .pts = last_pts_},
                    update),
      nullptr, nullptr);
  // A break in time stands between the frames around it: in front of the one that was pushed just now.
  Live* const live = action.discontinuity ? find(action.instance) : nullptr;
  if (!live || live->in_flight.empty()) return deliver(std::move(parcel));
  live->in_flight.insert(live->in_flight.end() - 1, {.ticket = {}, .job = {}, .note = std::move(parcel)});
  release_notes(*live);
}

void StreamRunner::note_state(LifeState from) {
  const LifeState state = machine_.state();
  set_idle_since(state == LifeState::idle ? machine_.since() : no_time);
  set_needed(machine_.is_needed());
  set_last_used(now());
  account_->set_ended_ns(state == LifeState::absent ? now() : 0);
  if (state == LifeState::absent) {
    key_job_.reset();
    queue_.shrink();
    const std::scoped_lock lock(status_mutex_);
    snapshot_job_.reset();
    snapshot_record_.reset();
  }
  publish();
  if (services_->on_event)
    services_->on_event({.source_id = id(),
                         .from = std::string(stream::to_string(from)),
                         .to = std::string(stream::to_string(state)),
                         .reason = state == LifeState::quarantined || state == LifeState::blacklisted ||
                                           state == LifeState::rejected
                                       ? machine_.last_error()
                                       : std::string(),
                         .at_us = wall_now_us()});
}

void StreamRunner::drop_finally(const Job& job, std::string_view reason) {
  if (is_leaving_)
    job.receipt->refuse(reason, true);
  else
    job.receipt->drop(reason);
  pass_updates(job.delivery.message->frame->uuid);
}

void StreamRunner::drop_orphans() {
  for (const auto& job : orphans_) drop_finally(*job, orphan_reason_);
  orphans_.clear();
}

void StreamRunner::deliver(ParcelRef parcel) {
  size_t next = 0;
  if (egress_.empty() && services_->outlet->offer(parcel, number_, next, waker_)) return;
  egress_.emplace_back(std::move(parcel), next);
}

void StreamRunner::deliver_from(Live& live, ParcelRef parcel) {
  if (live.holds_results)
    live.held.push_back(std::move(parcel));
  else
    deliver(std::move(parcel));
}

// Those that no frame is in front of any more.
void StreamRunner::release_notes(Live& live) {
  while (!live.in_flight.empty() && live.in_flight.front().note) {
    auto note = std::move(live.in_flight.front().note);
    live.in_flight.erase(live.in_flight.begin());
    deliver_from(live, std::move(note));
  }
}

// True: nothing waits any more.
bool StreamRunner::flush_egress() {
  while (!egress_.empty()) {
    auto& [parcel, next] = egress_.front();
    if (!services_->outlet->offer(parcel, number_, next, waker_)) return false;
    egress_.pop_front();
  }
  return true;
}

StreamRunner::Live* StreamRunner::find(uint32_t instance) {
  const auto live = std::ranges::find(live_, instance, &Live::id);
  return live == live_.end() ? nullptr : &*live;
}

StreamRunner::EpochCount& StreamRunner::count_of(int64_t epoch) {
  const auto known = std::ranges::find(counts_, epoch, &EpochCount::epoch);
  if (known != counts_.end()) return *known;
  auto& oldest = *std::ranges::min_element(counts_, {}, &EpochCount::epoch);
  return oldest = {.epoch = epoch};
}

void StreamRunner::publish() {
  const auto queue = queue_.counts();
  const auto& format = machine_.format();
  is_occupied_ = stream::has_instance(machine_.state()) || queue.queued > 0 || !egress_.empty();
  const std::scoped_lock lock(status_mutex_);
  status_.state = stream::to_string(machine_.state());
  if (format.codec != stream::Codec::none) status_.codec = stream::to_string(format.codec);
  status_.last_error = machine_.last_error();
  status_.epoch = machine_.epoch();
  status_.width = format.width;
  status_.height = format.height;
  status_.queued = queue.queued;
  since_ = machine_.since();
  retry_at_ = machine_.retry_at();
  unfinished_ = queue.queued + egress_.size();
  for (const Live& live : live_) unfinished_ += live.in_flight.size() + live.held.size();
}

StreamStatus StreamRunner::status() const {
  const Time time = now();
  const SourceCounts counts = account_->counts(time);
  const std::scoped_lock lock(status_mutex_);
  StreamStatus status = status_;
  status.queued = queue_.counts().queued;
  status.since = double(time - since_) / 1e9;
  status.retry_in = retry_at_ == no_time ? 0 : std::max(0.0, double(retry_at_ - time) / 1e9);
  status.fps = counts.fps;
  status.lag = counts.lag;
  status.inflight_age = counts.oldest_ns ? std::max(0.0, double(time - counts.oldest_ns) / 1e9) : 0;
  status.received = counts.received;
  status.stored = counts.stored;
  status.lost = counts.lost;
  status.duplicate = counts.duplicate;
  status.fenced = counts.fenced;
  status.decoder_fallbacks = counts.decoder_fallbacks;
  status.in_flight = counts.in_flight;
  status.dropped = counts.dropped;
  status.dropped_by_stage = dropped_by_stage(counts);
  status.results = counts.results;
  return status;
}

uint64_t StreamRunner::unfinished() const {
  const std::scoped_lock lock(status_mutex_);
  return unfinished_;
}

std::pair<std::shared_ptr<Job>, adapters::RecordRef> StreamRunner::latest_keyframe() const {
  const std::scoped_lock lock(status_mutex_);
  return {snapshot_job_, snapshot_record_};
}

}  // namespace sightglass::module
