#include "sightglass/model/request_queue.h"

#include <algorithm>
#include <utility>

namespace sightglass {

void RequestQueue::Request::finish(Status status) {
  for (Tensor& input : inputs) input.memory = nullptr;
  for (MemoryRef& block : memory) block = nullptr;
  const Ref<CompletionFence> done = std::exchange(fence, nullptr);
  if (status)
    done->set_ready();
  else
    done->set_error(std::move(status).error());
}

RequestQueue::RequestQueue(SchedulingPolicy policy, size_t limit, size_t inputs, size_t outputs)
    : policy_(policy), limit_(limit), input_count_(inputs), output_count_(outputs) {}

void RequestQueue::join(Member& member) {
  const std::lock_guard lock(mutex_);
  members_.push_back(&member);
  // One for each stream beyond the common ones, see may_start().
  for (size_t wanted = limit_ + members_.size(); all_.size() < wanted;) {
    Request* request = all_.emplace_back(std::make_unique<Request>()).get();
    request->inputs.resize(input_count_);
    request->outputs.resize(output_count_);
    request->memory.resize(output_count_);
    request->next = std::exchange(free_, request);
  }
}

void RequestQueue::leave(Member& member) {
  std::unique_lock lock(mutex_);
  member.changed.wait(lock, [&] { return member.slots == 0; });
  std::erase(members_, &member);
}

RequestQueue::Request* RequestQueue::acquire(Member& member) {
  std::unique_lock lock(mutex_);
  if (member.cancelled) return nullptr;
  if (may_start(member)) {
    ++used_, ++member.slots;
  } else {
    member.ticket = next_ticket_++;
    member.changed.wait(lock, [&] { return member.granted || member.cancelled; });
    member.ticket = 0;
    if (!std::exchange(member.granted, false)) return nullptr;
  }
  Request* request = std::exchange(free_, free_->next);
  request->member = &member;
  request->kept = false;
  return request;
}

void RequestQueue::put(Request* request) {
  {
    const std::lock_guard lock(mutex_);
    if (!request->member->cancelled) {
      request->next = nullptr;
      (last_ ? last_->next : first_) = request;
      last_ = request;
      request = nullptr;
    }
  }
  if (!request) {
    arrived_.notify_one();
    return;
  }
  const bool kept = request->kept;
  request->finish(fail(ErrorCode::cancelled, "cancelled"));
  if (!kept) release(request);
}

RequestQueue::Request* RequestQueue::take() {
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [&] { return first_ || closed_; });
  if (!first_) return nullptr;
  Request* before = nullptr;  // of the one chosen
  if (policy_ == SchedulingPolicy::latency) {
    Time earliest = first_->pts;
    for (Request* request = first_; request->next; request = request->next)
      if (request->next->pts < earliest) before = request, earliest = request->next->pts;
  }
  Request* chosen = before ? before->next : first_;
  (before ? before->next : first_) = chosen->next;
  if (last_ == chosen) last_ = before;
  return chosen;
}

void RequestQueue::begin(Request* request, ModelRequest& model) {
  const std::lock_guard lock(mutex_);
  request->runs_in = &model;
  model.set_interrupted(request->member->cancelled);
}

bool RequestQueue::end(Request* request) {
  const std::lock_guard lock(mutex_);
  request->runs_in = nullptr;
  return request->member->cancelled;
}

void RequestQueue::release(Request* request) {
  const std::lock_guard lock(mutex_);
  give_back(request);
}

void RequestQueue::give_back(Request* request) {
  Member& member = *request->member;
  request->next = std::exchange(free_, request);
  --used_;
  if (--member.slots == 0) member.changed.notify_all();
  grant();
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
    ++used_, ++next->slots;
    next->changed.notify_all();
  }
}

void RequestQueue::cancel(Member& member) {
  Request* dropped = nullptr;
  {
    const std::lock_guard lock(mutex_);
    member.cancelled = true;
    member.changed.notify_all();
    for (const auto& request : all_)
      if (request->member == &member && request->runs_in) request->runs_in->set_interrupted(true);
    Request* rest = std::exchange(first_, nullptr);
    last_ = nullptr;
    for (Request** drop_end = &dropped; rest;) {
      Request* request = std::exchange(rest, rest->next);
      request->next = nullptr;
      if (request->member == &member) {
        *drop_end = request;
        drop_end = &request->next;
      } else {
        (last_ ? last_->next : first_) = request;
        last_ = request;
      }
    }
  }
  // Letting go of the inputs may run anybody's code, so it is done without the lock.
  while (dropped) {
    Request* request = std::exchange(dropped, dropped->next);
    const bool kept = request->kept;
    request->finish(fail(ErrorCode::cancelled, "cancelled"));
    if (!kept) release(request);
  }
}

void RequestQueue::resume(Member& member) {
  const std::lock_guard lock(mutex_);
  member.cancelled = false;
}

void RequestQueue::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  arrived_.notify_all();
}

}  // namespace sightglass
