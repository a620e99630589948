#include "sightglass/model/session_results.h"

#include <utility>

#include "sightglass/model/request_queue.h"

namespace sightglass {
namespace {

constexpr std::string_view pending_text = "waits for a result of its own session";

}  // namespace

void ResultMemory::dispose() noexcept {
  set_fence(nullptr);
  block_ = nullptr;
  point_to(nullptr);
  // May be the pool's last reference, so it goes after the result is back.
  const Ref<ResultPool> home = std::move(pool_);
  if (!home) {
    delete this;
    return;
  }
  const std::lock_guard lock(home->mutex_);
  next_ = std::exchange(home->free_, this);
}

ResultPool::~ResultPool() {
  while (free_) {
    const Ref<ResultMemory> last(std::exchange(free_, free_->next_));  // without a pool it deletes itself
  }
}

Ref<ResultMemory> ResultPool::acquire() {
  ResultMemory* result = nullptr;
  {
    const std::lock_guard lock(mutex_);
    result = free_;
    if (result) free_ = std::exchange(result->next_, nullptr);
  }
  if (!result) result = new ResultMemory(size_);
  result->pool_ = Ref(this);
  return Ref(result);
}

Status ResultFence::wait() {
  if (ready()) return CompletionFence::wait();
  if (RequestQueue::of_this_thread() == queue_.get()) return fail(ErrorCode::internal, "{}", pending_text);
  return queue_->wait(*this);
}

bool is_result_pending(const Error& error) {
  return error.code == ErrorCode::internal && error.message == pending_text;
}

}  // namespace sightglass
