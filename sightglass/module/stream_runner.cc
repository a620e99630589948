#include "sightglass/module/stream_runner.h"

#include <algorithm>
#include <future>
#include <utility>

#include "sightglass/core/result.h"
#include "sightglass/module/frame_trace.h"

namespace sightglass::module {
namespace {

using stream::DropReason;
using stream::MessageKind;
using stream::StreamMachine;
using stream::Verdict;

// So many messages, then others have their turn.
constexpr int most_in_a_row = 32;
constexpr Time update_wait = 500'000'000;  // that an update waits for its frame
// So many payloads in a row that could not be read from elsewhere, and none is tried for a while.
constexpr unsigned most_unlocated = 3;
constexpr Time least_location_pause = 10'000'000'000, most_location_pause = 600'000'000'000;

uint64_t next_number() {
  static std::atomic<uint64_t> numbers{0};
  return ++numbers;
}

StreamMachine::Fault fault_of(FailureKind kind) {
  switch (kind) {
    case FailureKind::decoder:
      return StreamMachine::Fault::decoder;
    case FailureKind::element:
    case FailureKind::module:
      return StreamMachine::Fault::element;
    case FailureKind::no_decoder:
      return StreamMachine::Fault::no_decoder;
    case FailureKind::output:
      return StreamMachine::Fault::output;
  }
  return StreamMachine::Fault::element;
}

void settle_other(const Job& job, bool processed, std::string_view reason, bool retry) {
  if (!job.delivery.settlement) return;
  if (processed)
    job.delivery.settlement->processed();
  else
    job.delivery.settlement->refused(reason, retry);
}

}  // namespace

void ParameterRollout::done(Status status) {
  const std::scoped_lock lock(mutex_);
  if (waiting_) --waiting_;
  if (!status && status_) status_ = std::move(status);
  changed_.notify_all();
}

Status ParameterRollout::wait(std::chrono::nanoseconds timeout) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, timeout, [&] { return !waiting_ || !status_; }))
    return fail(ErrorCode::internal, "{} stream{} did not take the parameters in time", waiting_,
                waiting_ == 1 ? "" : "s");
  return status_;
}

std::shared_ptr<StreamRunner> StreamRunner::make(const stream::StreamTable::NewStream& stream,
                                                 std::shared_ptr<const StreamServices> services) {
  std::shared_ptr<StreamRunner> runner(new StreamRunner(stream, std::move(services)));
  const std::weak_ptr<StreamRunner> weak = runner;
  runner->strand_ = runner->services_->strands->make([weak] {
    if (const auto self = weak.lock()) self->on_timer();
  });
  runner->waker_ = [weak] {
    if (const auto self = weak.lock()) self->wake();
  };
  return runner;
}

StreamRunner::StreamRunner(const stream::StreamTable::NewStream& stream,
                           std::shared_ptr<const StreamServices> services)
    : StreamEntry(std::string(stream.id)),
      services_(std::move(services)),
      account_(services_->accounts->open(stream.id)),
      number_(next_number()),
      queue_({.frames = services_->buffers.frames, .bytes = services_->buffers.bytes}),
      policy_(uint8_t(stream::QueuePolicy::block)),
      machine_(stream.rules, std::hash<std::string_view>{}(stream.id)),
      rules_(stream.rules) {
  status_.id = id();
  status_.state = stream::to_string(machine_.state());
  since_ = now();
}

StreamRunner::~StreamRunner() {
  if (strand_) strand_->close();
}

StreamRunner::Queue::Status StreamRunner::push(const stream::FrameFacts& facts, std::shared_ptr<Job>& job) {
  if (facts.kind == MessageKind::frame) {
    const auto policy = stream::stream_queue_policy(stream::QueuePolicy(services_->buffers.policy),
                                                    job->delivery.lossless, facts.codec);
    if (policy_.exchange(uint8_t(policy)) != uint8_t(policy)) queue_.set_policy(policy);
  }
  const auto settlement = job->delivery.settlement;  // the job may be gone before we are asked again
  stream::FrameFacts told = facts;
  const uint32_t refused = refused_.exchange(0);
  told.dropped_before += refused;
  const auto pushed = queue_.push(told, job, [](const stream::FrameFacts&, std::shared_ptr<Job>& dropped) {
    if (dropped->receipt)
      dropped->receipt->drop(to_string(DropReason::queue_full));
    else
      settle_other(*dropped, true, {}, false);
  });
  if (pushed.status != Queue::Status::taken) refused_ += refused;
  if (pushed.status == Queue::Status::taken && settlement) settlement->accepted();
  if (pushed.wake) wake();
  return pushed.status;
}

bool StreamRunner::has_room(const stream::FrameFacts& facts, bool lossless) const {
  // Of other messages push() leaves the policy as it is.
  const auto policy =
      facts.kind == MessageKind::frame
          ? stream::stream_queue_policy(stream::QueuePolicy(services_->buffers.policy), lossless, facts.codec)
          : stream::QueuePolicy(policy_.load());
  return queue_.would_take(facts, policy);
}

bool StreamRunner::command(Command command) {
  auto promise = std::make_shared<std::promise<bool>>();
  auto answer = promise->get_future();
  post({.kind = Event::Kind::command, .command = command, .answer = [promise](bool done) {
          promise->set_value(done);
        }});
  return answer.wait_for(std::chrono::seconds(1)) == std::future_status::ready && answer.get();
}

void StreamRunner::post_command(Command command) { post({.kind = Event::Kind::command, .command = command}); }

void StreamRunner::apply(std::shared_ptr<ParameterRollout> rollout) {
  post({.kind = Event::Kind::parameters, .rollout = std::move(rollout)});
}

void StreamRunner::set_rules(std::shared_ptr<const stream::StreamRules> rules) {
  post({.kind = Event::Kind::rules, .rules = std::move(rules)});
}

void StreamRunner::on_forgotten() {
  queue_.close();
  close();
}

void StreamRunner::post(Event event) {
  bool is_open = false;
  {
    // Under the lock: close_here() answers what it still finds there, and nothing may come behind that.
    const std::scoped_lock lock(inbox_mutex_);
    is_open = !is_closed_;
    if (is_open) inbox_.push_back(std::move(event));
  }
  if (is_open) return wake();
  if (event.answer) event.answer(false);
  if (event.rollout) event.rollout->done({});
}

void StreamRunner::wake() {
  if (is_scheduled_.exchange(true)) return;
  strand_->post([self = shared_from_this()] { self->run(); });
}

// ── strand ──

void StreamRunner::run() {
  is_scheduled_ = false;
  {
    const std::scoped_lock lock(inbox_mutex_);
    events_.swap(inbox_);
  }
  for (auto& event : events_) handle(event);
  events_.clear();
  finish_run();
}

void StreamRunner::on_timer() {
  if (is_closed_) return;
  if (!flush_egress()) note_held();
  stream::Actions actions;
  machine_.tick(now(), actions);
  execute(actions);
  pass_old_updates();
  finish_run();
}

void StreamRunner::finish_run() {
  if (is_closed_) return;
  if (const uint64_t frames = settled_->stored.exchange(0)) machine_.settled(true, frames);
  if (const uint64_t frames = settled_->dropped.exchange(0)) machine_.settled(false, frames);
  if (flush_egress() && pump()) wake();
  if (!egress_.empty() || locating_) note_held();
  strand_->arm(
      std::min(machine_.next_deadline(), updates_.empty() ? stream::never : updates_.front().second));
  publish();
}

// A sink that blocks is full: what waits in the queue waits for it, not for its writer.
void StreamRunner::note_held() {
  if (!queue_.front()) return;
  stream::Actions actions;
  machine_.held(now(), actions);
  execute(actions);
}

void StreamRunner::handle(Event& event) {
  if (is_closed_) {
    if (event.answer) event.answer(false);
    if (event.rollout) event.rollout->done({});
    return;
  }
  stream::Actions actions;
  switch (event.kind) {
    case Event::Kind::first_frame:
      if (Live* const live = find(event.instance)) live->is_decoded = true;
      machine_.first_decoded(event.instance, now(), actions);
      break;
    case Event::Kind::result:
      return handle_result(event);
    case Event::Kind::room:
      machine_.room(event.instance, now());
      break;
    case Event::Kind::ended:
      machine_.ended(event.instance, now(), actions);
      break;
    case Event::Kind::failed:
      if (!find(event.instance)) return;  // has been reaped
      if (event.failure == FailureKind::module && services_->on_module_failure)
        services_->on_module_failure(event.element, event.text);
      machine_.failed(event.instance, fault_of(event.failure),
                      event.element.empty() ? event.text : event.element + ": " + event.text, now(), actions);
      break;
    case Event::Kind::torn_down:
      machine_.torn_down(event.instance, now(), actions);
      break;
    case Event::Kind::slot_granted:
      if (!services_->table->has_slot(*this)) return;  // given back meanwhile
      machine_.slot_granted(now(), actions);
      break;
    case Event::Kind::command: {
      is_leaving_ = is_leaving_ || event.command == Command::revoke || event.command == Command::abandon;
      const bool done = machine_.command(event.command, now(), actions);
      if (event.answer) event.answer(done);
      break;
    }
    case Event::Kind::parameters:
      return handle_parameters(*event.rollout);
    case Event::Kind::rules:
      rules_ = event.rules;
      machine_.set_rules(event.rules);
      return;
    case Event::Kind::located:
      return handle_located(event);
    case Event::Kind::close:
      return close_here();
  }
  execute(actions);
}

void StreamRunner::handle_result(Event& event) {
  Live* const live = find(event.instance);
  if (!live) return;  // settled when it was reaped
  InstanceResult& result = event.result;
  const auto flying = std::ranges::find(live->in_flight, result.ticket, &InFlight::ticket);
  if (flying == live->in_flight.end()) return;
  const std::shared_ptr<Job> job = std::move(flying->job);
  live->in_flight.erase(flying);
  const bool replay = result.ticket->replay;
  StreamMachine::Outcome outcome = StreamMachine::Outcome::replay;
  if (!replay) switch (result.outcome) {
      case FrameOutcome::stored:
        outcome = StreamMachine::Outcome::stored;
        break;
      case FrameOutcome::no_picture:
        outcome = StreamMachine::Outcome::no_picture;
        break;
      case FrameOutcome::dropped:
        outcome = StreamMachine::Outcome::dropped;
        break;
    }
  const Time time = now();
  machine_.result(event.instance, outcome, time);
  if (outcome == StreamMachine::Outcome::stored) {
    account_->count_result(job->delivery.received_ns, time);
    auto record = frame_record(result, live->epoch);
    merge_updates(*record);
    EpochCount& count = count_of(live->epoch);
    ++count.frames;
    count.last = record->uuid;
    last_seq_ = record->seq;
    last_pts_ = record->pts;
    job->receipt->move_to(Stage::sinks);
    if (job->delivery.message->frame->keyframe) {
      const std::scoped_lock lock(status_mutex_);
      snapshot_job_ = job;
      snapshot_record_ = record;
    }
    deliver_from(*live, std::make_shared<const Parcel>(std::move(record), job, settled_, nullptr,
                                                       result.ticket->trace));
    release_notes(*live);
    return;
  }
  const bool is_error = outcome == StreamMachine::Outcome::no_picture ||
                        (outcome == StreamMachine::Outcome::dropped && result.reason.starts_with("error"));
  if (outcome == StreamMachine::Outcome::dropped)
    job->receipt->drop(result.reason.empty() ? to_string(DropReason::element) : result.reason);
  else
    job->receipt->drop(to_string(replay ? DropReason::replay : DropReason::no_picture));
  pass_updates(job->delivery.message->frame->uuid);
  release_notes(*live);
  if (!is_error) return;
  stream::Actions actions;
  machine_.frame_error(event.instance, time, actions);
  execute(actions);
}

void StreamRunner::handle_parameters(ParameterRollout& rollout) {
  Status status;
  for (Live& live : live_) {
    if (!live.instance) continue;
    if (auto set = live.instance->set_parameters(rollout.set); !set && status) {
      status = std::move(set);
      status.error().stream = id();
    }
  }
  rollout.done(std::move(status));
}

// Messages from the queue until there are none, or it has to wait. True: there is more, but others come
// first.
bool StreamRunner::pump() {
  for (int i = 0; i < most_in_a_row; ++i) {
    if (!egress_.empty() || is_closed_ || has_left_) return false;
    Queue::Item* const item = queue_.front();
    if (!item) return false;
    if (const Payload payload = locate(*item); payload != Payload::there) {
      if (payload == Payload::awaited) return false;
      continue;
    }
    item->facts.dropped_before += std::exchange(missing_, 0);
    offered_ = item->payload;
    writer_ = item->facts.producer, writer_epoch_ = item->facts.epoch;
    stream::Actions actions;
    const Verdict verdict = machine_.offer(item->facts, now(), actions);
    // What is refused tells nothing of the format; what opens an epoch does before it is pushed.
    if (item->facts.kind == MessageKind::frame &&
        (std::ranges::contains(actions, stream::Action::Kind::build_instance, &stream::Action::kind) ||
         (verdict.kind == Verdict::Kind::push && item->facts.keyframe)))
      key_job_ = offered_;
    const bool has_changed = execute(actions);
    switch (verdict.kind) {
      case Verdict::Kind::hold:
        if (!has_changed) return false;
        break;
      case Verdict::Kind::push:
        if (!push_frame(verdict, *item)) return false;
        break;
      case Verdict::Kind::drop:
        drop(verdict, *item);
        break;
      case Verdict::Kind::pass: {
        const auto job = std::move(item->payload);
        queue_.take();
        deliver(std::make_shared<const Parcel>(passed_record(job->delivery, machine_.epoch()), nullptr,
                                               nullptr, job->delivery.settlement));
        break;
      }
      case Verdict::Kind::update: {
        const auto job = std::move(item->payload);
        queue_.take();
        merge_update(job);
        break;
      }
      case Verdict::Kind::end:
        // Our own has nobody to tell, and the writer's may still wait for its answer.
        if (!item->facts.local) eos_ = std::move(item->payload);
        queue_.take();
        break;
    }
    offered_.reset();
  }
  return true;
}

// False: the instance takes nothing now.
bool StreamRunner::push_frame(const Verdict& verdict, Queue::Item& item) {
  Live* const live = find(verdict.instance);
  const auto job = item.payload;
  if (item.facts.kind == MessageKind::user_data) {
    queue_.take();
    auto note = std::make_shared<const Parcel>(passed_record(job->delivery, machine_.epoch()), nullptr,
                                               nullptr, job->delivery.settlement);
    if (live) {
      live->in_flight.push_back({.note = std::move(note)});
      release_notes(*live);
    }
    stream::Actions noted;
    machine_.pushed(now(), noted);
    execute(noted);
    return true;
  }
  const stream::VideoFrame& frame = *job->delivery.message->frame;
  auto ticket = std::make_shared<Ticket>();
  ticket->delivery = job->delivery;
  ticket->pts = verdict.pts;
  ticket->original_pts = original_pts(frame);
  ticket->queued_ns = job->delivery.received_ns;
  ticket->pushed_ns = steady_now_ns();
  ticket->replay = verdict.replay;
  if (!verdict.replay)
    ticket->trace = job->receipt->trace();  // of a replay a sink may be done with it by now
  const auto queue = queue_.counts();
  ticket->queue_fill = std::min(1.0, double(queue.queued) / double(std::max(1u, services_->buffers.frames)));
  // Before it is pushed: its result may be there at once.
  if (live) live->in_flight.push_back({ticket, job});
  const auto pushed = live && live->instance ? live->instance->push(ticket) : StreamInstance::Push::failed;
  if (pushed != StreamInstance::Push::ok) {
    if (live) live->in_flight.pop_back();
    machine_.full(now());
    // What is wrong usually comes as an event of its own, in front of this one.
    if (pushed == StreamInstance::Push::failed)
      post({.kind = Event::Kind::failed,
            .instance = verdict.instance,
            .failure = FailureKind::decoder,
            .text = "the pipeline of the stream takes no more frames"});
    return false;
  }
  if (ticket->trace) ticket->trace->add("queue", ticket->trace->queued_ns(), ticket->pushed_ns);
  job->receipt->move_to(Stage::elements);
  stream::Actions actions;
  machine_.pushed(now(), actions);
  retaining_ = machine_.retains() ? verdict.instance : 0;
  queue_.take(retaining_ != 0);
  execute(actions);
  return true;
}

void StreamRunner::drop(const Verdict& verdict, Queue::Item& item) {
  const auto job = std::move(item.payload);
  queue_.take();
  const std::string_view reason = to_string(verdict.reason);
  const bool is_refused = is_leaving_ || verdict.answer != Verdict::Answer::acknowledge;
  const bool retry = is_leaving_ || verdict.answer == Verdict::Answer::refuse_retry;
  if (verdict.reason == DropReason::duplicate) account_->count_duplicate();
  if (verdict.reason == DropReason::fenced) account_->count_fenced();
  if (!job->receipt)
    settle_other(*job, !is_refused, reason, retry);
  else if (is_refused)
    job->receipt->refuse(reason, retry);
  else
    job->receipt->drop(reason);
}

// A payload that the message only names is read before anybody looks at the frame: what is said of it may
// turn out to be wrong. The frames behind wait, other streams do not.
StreamRunner::Payload StreamRunner::locate(Queue::Item& item) {
  const Job& job = *item.payload;
  if (item.facts.kind != MessageKind::frame || !job.delivery.message || !job.delivery.message->frame ||
      !std::holds_alternative<stream::Location>(job.delivery.message->frame->content))
    return Payload::there;
  if (locating_ == item.payload) return Payload::awaited;
  if (!services_->locations || now() < locations_paused_until_) {
    drop_unlocated(item, {});
    return Payload::dropped;
  }
  locating_ = item.payload;
  services_->locations->read(
      job.delivery.message, [weak = weak_from_this(), waiting = locating_](Result<Located> located) {
        if (const auto self = weak.lock())
          self->post({.kind = Event::Kind::located, .job = waiting, .located = std::move(located)});
      });
  return Payload::awaited;
}

void StreamRunner::handle_located(Event& event) {
  if (event.job != std::exchange(locating_, nullptr)) return;
  Queue::Item* const item = queue_.front();
  if (!item || item->payload != event.job) return;  // others were put in front: its turn comes again
  if (!event.located) {
    // Who cannot be reached, and is slow to say so, must not be waited for with each frame anew. What is not
    // there, or not as it should be, says nothing of the next.
    const ErrorCode code = event.located.error().code;
    const bool is_away = code == ErrorCode::io || code == ErrorCode::unavailable;
    if (is_away && ++unlocated_ >= most_unlocated) {
      location_pause_ = std::clamp(location_pause_ * 2, least_location_pause, most_location_pause);
      locations_paused_until_ = now() + location_pause_;
    }
    return drop_unlocated(*item, event.located.error().message);
  }
  unlocated_ = 0;
  location_pause_ = 0;
  stream::Delivery& delivery = event.job->delivery;
  delivery.message = std::move(event.located->message);
  delivery.payloads.assign(1, std::move(event.located->payload));
  stream::FrameFacts facts;
  facts_of(delivery, facts);
  const uint64_t bytes = std::exchange(facts.bytes, item->facts.bytes);
  facts.dropped_before = item->facts.dropped_before;
  facts.rewound = item->facts.rewound;
  item->facts = facts;
  queue_.set_front_bytes(bytes);
}

void StreamRunner::drop_unlocated(Queue::Item& item, std::string_view text) {
  constexpr std::string_view reason = "location";
  missing_ += item.facts.dropped_before + 1;
  const auto job = std::move(item.payload);
  queue_.take();
  job->receipt->drop(reason);
  if (services_->on_rejected) services_->on_rejected(id(), reason, text);
}

// An update of a frame that is in the module waits for it; any other becomes an upsert.
void StreamRunner::merge_update(const std::shared_ptr<Job>& job) {
  const stream::Uuid& uuid = job->delivery.message->frame_update->frame;
  for (const Live& live : live_)
    for (const InFlight& flying : live.in_flight)
      if (flying.job && flying.job->delivery.message->frame->uuid == uuid) {
        updates_.emplace_back(job, now() + update_wait);
        return;
      }
  pass_update(*job);
}

void StreamRunner::pass_update(const Job& job) {
  deliver(std::make_shared<const Parcel>(passed_record(job.delivery, machine_.epoch()), nullptr, nullptr,
                                         job.delivery.settlement));
}

// The frame has left without a record.
void StreamRunner::pass_updates(const stream::Uuid& frame) {
  std::erase_if(updates_, [&](const auto& update) {
    if (update.first->delivery.message->frame_update->frame != frame) return false;
    pass_update(*update.first);
    return true;
  });
}

void StreamRunner::pass_old_updates() {
  for (const Time time = now(); !updates_.empty() && updates_.front().second <= time;
       updates_.erase(updates_.begin()))
    pass_update(*updates_.front().first);
}

void StreamRunner::merge_updates(adapters::Record& record) {
  if (updates_.empty()) return;
  std::erase_if(updates_, [&](const auto& waiting) {
    const Job& job = *waiting.first;
    const stream::FrameUpdate& update = *job.delivery.message->frame_update;
    if (update.frame != record.uuid) return false;
    const bool merged =
        merge(update, record.message->frame->width, record.message->frame->height, record.results);
    settle_other(job, merged, "rejected", false);
    return true;
  });
}

void StreamRunner::close_here() {
  std::vector<Event> unread;
  {
    const std::scoped_lock lock(inbox_mutex_);
    is_closed_ = true;
    unread.swap(inbox_);
  }
  for (auto& event : unread) handle(event);
  while (!live_.empty()) {
    for (auto& flying : live_.back().in_flight)
      if (flying.job) flying.job->receipt->refuse("unfinished", true);
    live_.back().in_flight.clear();
    live_.back().held.clear();
    reap(live_.back().id);
  }
  for (auto& orphan : orphans_) orphan->receipt->refuse("unfinished", true);
  orphans_.clear();
  egress_.clear();  // the parcels tell their writers
  while (Queue::Item* const item = queue_.front()) {
    if (item->payload->receipt)
      item->payload->receipt->refuse("unfinished", true);
    else
      settle_other(*item->payload, false, "unfinished", true);
    queue_.take();
  }
  queue_.close();
  queue_.forget_taken();
  for (auto& update : updates_) settle_other(*update.first, false, "unfinished", true);
  updates_.clear();
  if (eos_) settle_other(*std::exchange(eos_, nullptr), false, "unfinished", true);
  key_job_.reset();
  locating_.reset();
  is_drained_ = true;
  is_occupied_ = false;
  {
    const std::scoped_lock lock(status_mutex_);
    unfinished_ = 0;
    snapshot_job_.reset();
    snapshot_record_.reset();
  }
  strand_->close();
  has_closed_ = true;
}

}  // namespace sightglass::module
