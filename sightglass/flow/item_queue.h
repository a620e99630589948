// The bounded queue between two threads: frames, and in their order everything else that travels. Writers
// wait while it is full, the reader while it is empty. Places are used again, so nothing is allocated once
// warm.
//
// Thread-safe.
#pragma once

#include <condition_variable>
#include <mutex>

#include "sightglass/core/format.h"
#include "sightglass/core/frame.h"
#include "sightglass/core/ring.h"
#include "sightglass/flow/node.h"

namespace sightglass::flow {

struct Item {
  enum class Kind : uint8_t { frame, gap, format, end };
  Kind kind = Kind::end;
  Hold hold;
  uint64_t stream = 0;  // of a format
  Frame frame;
  Gap gap;
  Format format;
};

class ItemQueue {
 public:
  explicit ItemQueue(size_t most) : most_(most) {}

  // Fills a place by `fill(Item&)`. False: cancelled. Only frames wait for room; the rest is rare and small.
  template <class Fill>
  bool push(Item::Kind kind, Fill&& fill) {
    std::unique_lock lock(mutex_);
    if (kind == Item::Kind::frame) {
      while (items_.size() >= most_ && !cancelled_) {
        ++writers_waiting_;
        room_.wait(lock);
        --writers_waiting_;
      }
    }
    if (cancelled_) return false;
    Item& item = items_.push();
    item.kind = kind;
    fill(item);
    const bool wake = reader_waiting_;
    lock.unlock();
    if (wake) filled_.notify_one();
    return true;
  }
  // Swaps the next one into `item`. False: cancelled.
  bool pop(Item& item);
  void cancel();

  size_t size() const {
    std::lock_guard lock(mutex_);
    return items_.size();
  }
  size_t most() const { return most_; }

 private:
  const size_t most_;
  mutable std::mutex mutex_;
  std::condition_variable filled_, room_;
  Ring<Item> items_;
  bool reader_waiting_ = false, cancelled_ = false;
  size_t writers_waiting_ = 0;
};

}  // namespace sightglass::flow
