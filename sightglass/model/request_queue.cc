#include "sightglass/model/request_queue.h"

#include <algorithm>
#include <utility>

namespace sightglass {
namespace {

thread_local RequestQueue* worker_of = nullptr;

BatchClock& real_clock() {
  static BatchClock clock;
  return clock;
}

}  // namespace

void RequestQueue::Request::finish(Status status) {
  for (Tensor& input : inputs) input.memory = nullptr;
  for (Ref<ResultMemory>& result : results) result = nullptr;
  watch = nullptr;
  const Ref<CompletionFence> done = std::exchange(fence, nullptr);
  if (status)
    done->set_ready();
  else
    done->set_error(std::move(status).error());
}

RequestQueue::RequestQueue(const Options& options)
    : options_(options), clock_(options.clock ? *options.clock : real_clock()) {}

RequestQueue* RequestQueue::of_this_thread() { return worker_of; }
RequestQueue* RequestQueue::set_of_this_thread(RequestQueue* queue) {
  return std::exchange(worker_of, queue);
}

void RequestQueue::set_spare_runners(std::vector<Runner*> runners) {
  const std::lock_guard lock(mutex_);
  spares_ = std::move(runners);
}

// ---- streams

void RequestQueue::join(Member& member, Form& form) {
  const std::lock_guard lock(mutex_);
  member.form = &form;
  member.last_active = clock_.now();
  members_.push_back(&member);
  // One for each stream beyond the common ones, see may_start().
  for (size_t wanted = options_.limit + members_.size(); all_.size() < wanted;) {
    Request* request = all_.emplace_back(std::make_unique<Request>()).get();
    request->inputs.resize(options_.inputs);
    request->outputs.resize(options_.outputs);
    request->results.resize(options_.outputs);
    request->next = std::exchange(free_, request);
  }
  waiting_.reserve(4 * members_.size());
  groups_.reserve(members_.size());
}

void RequestQueue::leave(Member& member) {
  drain(member);
  std::unique_lock lock(mutex_);
  member.changed.wait(lock, [&] { return member.slots == 0; });
  std::erase(members_, &member);
  if (first_) arrived_.notify_one();  // one fewer to wait for
}

RequestQueue::Request* RequestQueue::acquire(Member& member) {
  std::unique_lock lock(mutex_);
  if (member.cancelled) return nullptr;
  member.thread = std::this_thread::get_id();
  member.ended = false;
  if (member.asks_itself && member.slots > 0) {
    member.asks_itself = false;
    arrived_.notify_one();  // for what it has sent and not asked for
  }
  if (may_start(member)) {
    ++used_, ++member.slots;
  } else {
    member.ticket = next_ticket_++;
    if (options_.batches) {
      waiting_.push_back({member.thread, nullptr});
      if (first_) arrived_.notify_one();  // this may have been the last one to add to a batch
    }
    member.changed.wait(lock, [&] { return member.granted || member.cancelled; });
    member.ticket = 0;
    if (options_.batches) end_wait(member.thread, nullptr);
    if (!std::exchange(member.granted, false)) return nullptr;
  }
  Request* request = std::exchange(free_, free_->next);
  request->member = &member;
  request->form = member.form;
  request->kept = request->urgent = request->aside = request->cancelled = false;
  return request;
}

void RequestQueue::append(Request* request) {
  request->next = nullptr;
  (last_ ? last_->next : first_) = request;
  last_ = request;
  ++request->form->queued;
}

void RequestQueue::put(Request* request) {
  bool wake = true;
  {
    const std::lock_guard lock(mutex_);
    if (!request->member->cancelled) {
      const Form& form = *request->form;
      if (options_.batches) request->arrived = request->member->last_active = clock_.now();
      append(request);
      // The first one starts the time-out, the last one makes the batch full.
      wake = form.queued == 1 || form.queued % form.capacity == 0;
      if (form.capacity == 1 && request->member->asks_itself) wake = false;
      request = nullptr;
    }
  }
  if (!request) {
    if (wake) arrived_.notify_one();
    return;
  }
  request->next = nullptr;
  drop(request);
}

void RequestQueue::drain(Member& member) {
  {
    const std::lock_guard lock(mutex_);
    member.ended = true;
    for (Request* request = first_; request; request = request->next)
      if (request->member == &member) request->urgent = true;
  }
  arrived_.notify_one();
}

void RequestQueue::set_period(Member& member, sightglass::Time period) {
  const std::lock_guard lock(mutex_);
  member.period = period;
}

void RequestQueue::set_timeout(int milliseconds) {
  {
    const std::lock_guard lock(mutex_);
    options_.timeout = milliseconds;
  }
  arrived_.notify_all();
}

// ---- threads that wait

bool RequestQueue::is_waiting(std::thread::id thread) const {
  return std::ranges::find(waiting_, thread, &Waiting::thread) != waiting_.end();
}

void RequestQueue::end_wait(std::thread::id thread, const Fence* fence) {
  const auto found = std::ranges::find_if(
      waiting_, [&](const Waiting& entry) { return entry.thread == thread && entry.fence == fence; });
  if (found == waiting_.end()) return;  // woken by end() or grant()
  *found = waiting_.back();
  waiting_.pop_back();
}

RequestQueue::Runner* RequestQueue::take_here(const Fence& fence, bool of_member) {
  const std::thread::id thread = std::this_thread::get_id();
  Request *before = nullptr, *request = first_;
  while (request && request->fence.get() != &fence) before = request, request = request->next;
  const bool own = request && request->member->thread == thread;
  if (own && request->member->slots == 1) request->member->asks_itself = true;
  Runner* runner = nullptr;
  if (own && !request->aside && !spares_.empty()) {
    runner = spares_.back();
    runner->batch.clear();
    BatchClock::Time again = BatchClock::Time::max();
    if (request->form->capacity == 1) {
      unlink(request, before);
      runner->batch.push_back(request);
    } else if (const Group* group = choose(again); group && group->form == request->form) {
      collect(*group, runner->batch);
    } else {
      runner = nullptr;
    }
  }
  if (runner) {
    spares_.pop_back();
    ++helping_;
  }
  // A batch may go now that a stream waits, or nobody was told of the sample yet. That somebody else waits
  // for results, as the thread behind a model does for every frame, changes nothing for the workers.
  if (first_ && (of_member || own || (request && request->member->asks_itself))) arrived_.notify_one();
  return runner;
}

Status RequestQueue::wait(CompletionFence& fence) {
  Runner* runner = nullptr;
  const std::thread::id thread = std::this_thread::get_id();
  {
    const std::lock_guard lock(mutex_);
    // Under the lock the result is either not finished, and end() finds the entry, or it is there already.
    if (!fence.ready()) {
      const bool of_member = options_.batches && std::ranges::contains(members_, thread, &Member::thread);
      if (of_member) waiting_.push_back({thread, &fence});
      runner = take_here(fence, of_member);
    }
  }
  if (runner) {
    RequestQueue* const outer = set_of_this_thread(this);
    runner->run(runner->batch);
    set_of_this_thread(outer);
    const std::lock_guard lock(mutex_);
    spares_.push_back(runner);
    if (--helping_ == 0) helped_.notify_all();
  }
  Status status = fence.CompletionFence::wait();
  if (options_.batches) {
    const std::lock_guard lock(mutex_);
    end_wait(thread, &fence);
  }
  return status;
}

// ---- workers

std::chrono::nanoseconds RequestQueue::timeout() const {
  using std::chrono::milliseconds, std::chrono::nanoseconds;
  if (options_.timeout >= 0) return milliseconds(options_.timeout);
  sightglass::Time period = no_time;
  constexpr milliseconds of_unknown_rate(40);
  for (const Member* member : members_) {
    if (member->ended) continue;
    if (member->period <= 0) return of_unknown_rate;
    period = std::max(period, member->period);
  }
  return period > 0 ? nanoseconds(2 * period) : of_unknown_rate;
}

std::optional<BatchClock::Time> RequestQueue::hopeless_at(const Form& form, BatchClock::Time now) const {
  std::optional<BatchClock::Time> latest;
  for (const Member* member : members_) {
    if (member->form != &form || member->ended || member->cancelled) continue;
    if (!member->granted && is_waiting(member->thread)) continue;
    const BatchClock::Time silent = member->last_active + timeout();
    if (silent > now) latest = std::max(latest.value_or(silent), silent);
  }
  return latest;
}

bool RequestQueue::takes_part(const Request& request) {
  if (options_.max_per_stream == 0) return true;
  Member& member = *request.member;
  if (member.round != round_) member.round = round_, member.counted = 0;
  return member.counted < options_.max_per_stream;
}

const RequestQueue::Group* RequestQueue::choose(BatchClock::Time& again) {
  groups_.clear();
  ++round_;
  for (Request* request = first_; request; request = request->next) {
    if (request->aside || !takes_part(*request)) continue;
    ++request->member->counted;
    auto group = std::ranges::find(groups_, request->form, &Group::form);
    if (group == groups_.end())
      group =
          groups_.insert(groups_.end(), {.form = request->form, .first = request, .earliest = request->pts});
    ++group->count;
    group->earliest = std::min(group->earliest, request->pts);
    group->urgent = group->urgent || request->urgent;
  }
  if (groups_.empty()) return nullptr;
  const bool waits =
      std::ranges::any_of(groups_, [](const Group& group) { return group.form->capacity > 1; });
  const BatchClock::Time now = waits ? clock_.now() : BatchClock::Time();
  const Group* chosen = nullptr;
  bool chosen_due = false;
  for (const Group& group : groups_) {  // by arrival of the first sample of each
    const size_t capacity = group.form->capacity;
    const bool full = group.count >= capacity;
    bool due = capacity == 1 || group.urgent;
    if (!due) {
      const BatchClock::Time end = group.first->arrived + timeout();
      due = end <= now;
      if (!due && !full) {
        const auto hopeless = hopeless_at(*group.form, now);
        due = !hopeless;
        if (hopeless) again = std::min({again, end, *hopeless});
      }
    }
    if (!due && !full) continue;
    bool better = !chosen;
    if (chosen && options_.policy == SchedulingPolicy::latency)
      better = group.earliest < chosen->earliest;
    else if (chosen)
      better = due > chosen_due || (!due && !chosen_due && group.count > chosen->count);
    if (better) chosen = &group, chosen_due = due;
  }
  return chosen;
}

void RequestQueue::collect(const Group& group, std::vector<Request*>& batch) {
  const size_t wanted = std::min(group.count, group.form->capacity);
  ++round_;
  while (batch.size() < wanted) {
    Request* before = nullptr;  // of the one chosen
    Request* chosen = nullptr;
    for (Request *previous = nullptr, *request = first_; request;
         previous = request, request = request->next) {
      if (request->form != group.form || request->aside || !takes_part(*request)) continue;
      if (chosen && request->pts >= chosen->pts) continue;
      before = previous, chosen = request;
      if (options_.policy == SchedulingPolicy::throughput) break;
    }
    unlink(chosen, before);
    ++chosen->member->counted;
    batch.push_back(chosen);
  }
}

void RequestQueue::unlink(Request* request, Request* before) {
  (before ? before->next : first_) = request->next;
  if (last_ == request) last_ = before;
  --request->form->queued;
  request->seen = finished_;
}

bool RequestQueue::take(std::vector<Request*>& batch) {
  batch.clear();
  std::unique_lock lock(mutex_);
  while (true) {
    BatchClock::Time again = BatchClock::Time::max();
    if (const Group* group = choose(again)) {
      collect(*group, batch);
      if (first_) arrived_.notify_one();  // somebody else looks after what is left
      return true;
    }
    if (closed_ && !first_) return false;
    if (again == BatchClock::Time::max())
      arrived_.wait(lock);
    else
      clock_.wait(arrived_, lock, again);
  }
}

void RequestQueue::put_aside(Request* request) {
  {
    const std::lock_guard lock(mutex_);
    if (!request->member->cancelled) {
      // Back to where it was: nothing that came later may go first.
      request->next = std::exchange(first_, request);
      if (!last_) last_ = request;
      ++request->form->queued;
      request->aside = request->seen == finished_;
      aside_ += request->aside;
      request = nullptr;
    }
  }
  if (!request) {
    arrived_.notify_one();
    return;
  }
  request->next = nullptr;
  drop(request);
}

void RequestQueue::begin(std::span<Request* const> batch, ModelRequest& model) {
  const std::lock_guard lock(mutex_);
  for (Request* request : batch) {
    request->runs_in = &model;
    request->cancelled = request->member->cancelled;
  }
  model.set_interrupted(std::ranges::all_of(batch, &Request::cancelled));
}

void RequestQueue::end(std::span<Request* const> batch) {
  const std::lock_guard lock(mutex_);
  const BatchClock::Time now = options_.batches ? clock_.now() : BatchClock::Time();
  for (Request* request : batch) {
    request->runs_in = nullptr;
    if (!options_.batches) continue;
    // Who waits for this goes on in a moment.
    request->member->last_active = now;
    std::erase_if(waiting_, [&](const Waiting& entry) { return entry.fence == request->fence.get(); });
  }
}

void RequestQueue::release(std::span<Request* const> requests) {
  const std::lock_guard lock(mutex_);
  for (Request* request : requests) give_back(request);
  grant();
  ++finished_;
  if (aside_ == 0) return;
  for (Request* request = first_; request; request = request->next) request->aside = false;
  aside_ = 0;
  arrived_.notify_all();
}

// ---- slots

void RequestQueue::give_back(Request* request) {
  Member& member = *request->member;
  request->next = std::exchange(free_, request);
  --used_;
  if (--member.slots == 0) member.changed.notify_all();
}

void RequestQueue::grant() {
  while (true) {
    Member* next = nullptr;
    for (Member* member : members_) {
      if (member->ticket == 0 || member->granted || member->cancelled || !may_start(*member)) continue;
      if (!next || std::pair(member->slots, member->ticket) < std::pair(next->slots, next->ticket))
        next = member;
    }
    if (!next) return;
    next->granted = true;
    if (options_.batches) next->last_active = clock_.now();
    ++used_, ++next->slots;
    next->changed.notify_all();
  }
}

// ---- cancelling

// Fails a list of requests. Letting go of the inputs may run anybody's code, so it is done without the lock.
void RequestQueue::drop(Request* dropped) {
  while (dropped) {
    Request* request = std::exchange(dropped, dropped->next);
    const bool kept = request->kept;
    request->finish(fail(ErrorCode::cancelled, "cancelled"));
    if (!kept) release({&request, 1});
  }
}

void RequestQueue::cancel(Member& member) {
  Request* dropped = nullptr;
  {
    const std::lock_guard lock(mutex_);
    member.cancelled = true;
    member.changed.notify_all();
    for (const auto& request : all_) {
      if (request->member != &member || !request->runs_in) continue;
      request->cancelled = true;
      // A batch is given up when nobody is left who wants it.
      const bool wanted = std::ranges::any_of(
          all_, [&](const auto& other) { return other->runs_in == request->runs_in && !other->cancelled; });
      if (!wanted) request->runs_in->set_interrupted(true);
    }
    Request* rest = std::exchange(first_, nullptr);
    last_ = nullptr;
    for (Request** drop_end = &dropped; rest;) {
      Request* request = std::exchange(rest, rest->next);
      --request->form->queued;
      if (request->member == &member) {
        aside_ -= request->aside;
        request->next = nullptr;
        *drop_end = request;
        drop_end = &request->next;
      } else {
        append(request);
      }
    }
  }
  arrived_.notify_one();
  drop(dropped);
}

void RequestQueue::resume(Member& member) {
  const std::lock_guard lock(mutex_);
  member.cancelled = false;
}

void RequestQueue::close() {
  std::unique_lock lock(mutex_);
  closed_ = true;
  arrived_.notify_all();
  helped_.wait(lock, [&] { return helping_ == 0; });
}

}  // namespace sightglass
