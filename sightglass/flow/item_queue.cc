#include "sightglass/flow/item_queue.h"

#include <utility>

namespace sightglass::flow {

bool ItemQueue::pop(Item& item) {
  std::unique_lock lock(mutex_);
  while (items_.empty() && !cancelled_) {
    reader_waiting_ = true;
    filled_.wait(lock);
    reader_waiting_ = false;
  }
  if (cancelled_) return false;
  std::swap(item, items_.front());
  items_.pop();
  const bool wake = writers_waiting_ > 0;
  lock.unlock();
  if (wake) room_.notify_one();
  return true;
}

void ItemQueue::cancel() {
  {
    std::lock_guard lock(mutex_);
    cancelled_ = true;
  }
  filled_.notify_all();
  room_.notify_all();
}

}  // namespace sightglass::flow
