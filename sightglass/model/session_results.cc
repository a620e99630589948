#include "sightglass/model/session_results.h"

#include <utility>

#include "sightglass/model/request_queue.h"

namespace sightglass {
namespace {

constexpr std::string_view pending_text = "waits for a result of its own session";

}  // namespace

bool ResultMemory::is_for_cpu() const { return pool_->is_for_cpu_.load(std::memory_order_relaxed); }

Result<std::byte*> ResultMemory::map(Access access) {
  auto mapped = SystemMemory::map(access);
  if (!mapped || !is_on_device_) return mapped;
  const std::lock_guard lock(mutex_);
  if (!downloaded_) {
    if (!was_asked_for_) pool_->is_for_cpu_.store(true, std::memory_order_relaxed);
    auto here = download_cuda(*block_, offset_, size());
    if (!here) return forward_error(here);
    auto data = (*here)->map(Access::read);
    if (!data) return forward_error(data);
    pool_->downloads_->copied(size());
    downloaded_ = *std::move(here);
    host_ = *data;
    if (!was_asked_for_) block_ = nullptr;  // room for others
  }
  is_changed_by_cpu_ |= access != Access::read;
  return host_;
}

Result<DevicePlace> ResultMemory::on_device() {
  if (auto written = SystemMemory::map(Access::read); !written) return forward_error(written);
  if (!is_on_device_) return DevicePlace{};
  const std::lock_guard lock(mutex_);
  if (!block_ || is_changed_by_cpu_) return DevicePlace{};
  was_asked_for_ = true;
  return DevicePlace{block_, offset_};
}

void ResultMemory::dispose() noexcept {
  set_fence(nullptr);
  block_ = nullptr;
  downloaded_ = nullptr;
  host_ = nullptr;
  is_on_device_ = was_asked_for_ = is_changed_by_cpu_ = false;
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
