// The bounded queue of one virtual stream, between the threads that receive and the stream's strand.
//
//   // receiving thread
//   auto pushed = queue.push(facts, delivery, settle);
//   if (pushed.status == full) …            // wait, or pause the socket
//   if (pushed.wake) strand.post(pump);
//
//   // strand
//   while (auto* item = queue.front()) {
//     if (…) break;                         // the machine says hold
//     queue.take(machine.retains());
//   }
//
// Policies when `frames` or `bytes` are used up (3.6):
//   block             push() answers `full` and the message stays with the caller
//   drop_to_keyframe  nothing is taken until the next keyframe, which replaces all frames that still wait
//   latest            the newcomer replaces all frames that wait: codecs whose pictures stand alone
// EOS and StreamUpdate are never dropped: a reserve of places is theirs. All other messages count as frames.
// Every message behind a loss says how many are missing (FrameFacts::dropped_before), so that the machine
// does not take our own drops for losses on the way.
//
// take(retain = true) keeps what it gives out until forget_taken(), and rewind() puts it back in front: a
// second decoder gets the frames again with which the first one failed. Retained are at most `frames` and
// `bytes`; when they become more, all are let go and rewind() gives 0.
//
// Thread-safe: push(), wait_for_room() and the counters from anywhere; front(), take(), rewind() and
// forget_taken() from the strand only. Allocates when it first holds something, and after shrink().
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "sightglass/stream/lifecycle/stream_events.h"
#include "sightglass/stream/lifecycle/stream_rules.h"

namespace sightglass::stream {

struct FrameQueueLimits {
  size_t frames = 64;
  uint64_t bytes = 64u << 20;
  size_t reserve = 64;
  QueuePolicy policy = QueuePolicy::block;
};

// `automatic` resolved: sockets without loss block, others drop; `latest` where every picture stands alone.
QueuePolicy stream_queue_policy(QueuePolicy wanted, bool lossless, Codec codec);

namespace detail {
// What the policy does with a newcomer. Free of the payload's type.
enum class Admission : uint8_t { take, full, drop_newcomer, replace_waiting };
struct QueueFill {
  size_t places = 0;   // of the ring that are in use
  size_t limited = 0;  // messages that count as frames
  uint64_t bytes = 0;
};
bool is_never_dropped(const FrameFacts& facts);
bool has_room(const QueueFill& fill, const FrameQueueLimits& limits);
Admission admit(const FrameFacts& facts, const QueueFill& fill, const FrameQueueLimits& limits,
                bool awaits_key);
Admission admit_after_replacing(const FrameFacts& facts, const QueueFill& fill,
                                const FrameQueueLimits& limits);
}  // namespace detail

template <class Payload>
class FrameQueue {
 public:
  struct Item {
    FrameFacts facts;
    Payload payload{};
  };
  enum class Status : uint8_t { taken, dropped, full, closed };
  struct Pushed {
    Status status = Status::taken;
    bool wake = false;  // the strand has run dry and has to be told
  };

  explicit FrameQueue(const FrameQueueLimits& limits) : limits_(limits) {}

  // Of messages that are taken, `payload` is moved from. on_dropped(facts, payload) is called for each
  // message that the policy drops, the newcomer included, with the lock held: it only settles.
  template <class OnDropped>
  Pushed push(const FrameFacts& facts, Payload& payload, OnDropped&& on_dropped) {
    std::lock_guard lock(mutex_);
    if (is_closed_) return {Status::closed, false};
    if (ring_.empty()) ring_.resize(limits_.frames + limits_.reserve + 1);
    auto admission = detail::admit(facts, fill(), limits_, awaits_key_);
    if (admission == detail::Admission::replace_waiting) {
      drop_waiting(on_dropped);
      admission = detail::admit_after_replacing(facts, fill(), limits_);
    }
    if (admission == detail::Admission::full) return {Status::full, false};
    const bool is_frame = facts.kind == MessageKind::frame;
    received_ += is_frame;
    if (admission == detail::Admission::drop_newcomer) {
      drop(facts, payload, on_dropped);
      ++missing_;
      awaits_key_ = awaits_key_ || (is_frame && !is_intra(facts.codec));
      return {Status::dropped, false};
    }
    if (is_frame && facts.keyframe) awaits_key_ = false;
    Item& item = ring_[(first_ + count_++) % ring_.size()];
    item.facts = facts;
    item.facts.dropped_before += std::exchange(missing_, 0);
    item.payload = std::move(payload);
    count_in(item.facts, +1);
    return {Status::taken, std::exchange(wake_needed_, false)};
  }
  // False: there was none in time, or the queue is closed.
  bool wait_for_room(std::chrono::nanoseconds timeout) {
    std::unique_lock lock(mutex_);
    ++waiting_;
    const bool in_time =
        room_.wait_for(lock, timeout, [&] { return is_closed_ || detail::has_room(fill(), limits_); });
    --waiting_;
    return in_time && !is_closed_;
  }
  bool has_room() const {
    std::lock_guard lock(mutex_);
    return detail::has_room(fill(), limits_);
  }
  // Whether push() would not answer `full`, if this were its policy.
  bool would_take(const FrameFacts& facts, QueuePolicy policy) const {
    std::lock_guard lock(mutex_);
    FrameQueueLimits limits = limits_;
    limits.policy = policy;
    return is_closed_ || detail::admit(facts, fill(), limits, awaits_key_) != detail::Admission::full;
  }
  // For what comes from now on. `frames` and `reserve` only while the queue is empty.
  void set_policy(QueuePolicy policy) {
    std::lock_guard lock(mutex_);
    limits_.policy = policy;
  }
  // Wakes all who wait; nothing is taken any more.
  void close() {
    std::lock_guard lock(mutex_);
    is_closed_ = true;
    room_.notify_all();
  }

  // ── strand ──
  // The oldest message; null: none. Stays at its place until take().
  Item* front() {
    if (next_ == given_.size()) {
      std::lock_guard lock(mutex_);
      if (count_ == 0) {
        wake_needed_ = true;
        return nullptr;
      }
      given_.push_back(std::exchange(ring_[first_], Item{}));
      first_ = (first_ + 1) % ring_.size();
      --count_;
    }
    return &given_[next_];
  }
  // With `retain`, the caller copies the payload instead of moving it away.
  void take(bool retain = false) {
    const uint64_t bytes = given_[next_].facts.bytes;
    size_t most_frames = 0;
    uint64_t most_bytes = 0;
    {
      std::lock_guard lock(mutex_);
      count_in(given_[next_].facts, -1);
      most_frames = limits_.frames;
      most_bytes = limits_.bytes;
      if (waiting_ > 0) room_.notify_all();
    }
    if (!retain || is_abandoned_) {
      given_.erase(given_.begin() + ptrdiff_t(next_));
    } else if (next_ + 1 > most_frames || retained_bytes_ + bytes > most_bytes) {
      ++next_;
      forget_taken();
      is_abandoned_ = true;
    } else {
      retained_bytes_ += bytes;
      ++next_;
    }
  }
  // The front has become as large: what it only named has been fetched.
  void set_front_bytes(uint64_t bytes) {
    std::lock_guard lock(mutex_);
    uint64_t& counted = given_[next_].facts.bytes;
    bytes_ += bytes - counted;
    counted = bytes;
  }
  // Puts what is retained back in front. How many frames these are.
  size_t rewind() {
    std::lock_guard lock(mutex_);
    size_t frames = 0;
    for (size_t i = 0; i < next_; ++i) {
      given_[i].facts.rewound = true;
      frames += given_[i].facts.kind == MessageKind::frame;
      count_in(given_[i].facts, +1);
    }
    next_ = 0;
    retained_bytes_ = 0;
    is_abandoned_ = false;
    return frames;
  }
  // Lets go what is retained.
  void forget_taken() {
    given_.erase(given_.begin(), given_.begin() + ptrdiff_t(next_));
    next_ = 0;
    retained_bytes_ = 0;
    is_abandoned_ = false;
  }
  // Gives memory back, if nothing waits.
  void shrink() {
    std::lock_guard lock(mutex_);
    if (count_ > 0 || !given_.empty()) return;
    std::vector<Item>().swap(ring_);
    std::vector<Item>().swap(given_);
    first_ = 0;
  }

  // ── counters, of frames ──
  struct Counts {
    uint64_t received = 0, dropped = 0, queued = 0, queued_bytes = 0;
  };
  Counts counts() const {
    std::lock_guard lock(mutex_);
    return {received_, dropped_, queued_frames_, bytes_};
  }

 private:
  detail::QueueFill fill() const { return {count_, limited_, bytes_}; }
  void count_in(const FrameFacts& facts, int sign) {
    if (!detail::is_never_dropped(facts)) limited_ += size_t(sign);
    if (facts.kind == MessageKind::frame) queued_frames_ += uint64_t(int64_t(sign));
    bytes_ += uint64_t(sign * int64_t(facts.bytes));
  }
  template <class OnDropped>
  void drop(const FrameFacts& facts, Payload& payload, OnDropped& on_dropped) {
    dropped_ += facts.kind == MessageKind::frame;
    on_dropped(facts, payload);
  }
  // All frames that the strand has not seen yet. What stays keeps its order.
  template <class OnDropped>
  void drop_waiting(OnDropped& on_dropped) {
    size_t kept = 0;
    uint32_t missing = 0;
    for (size_t i = 0; i < count_; ++i) {
      Item& item = ring_[(first_ + i) % ring_.size()];
      if (item.facts.kind == MessageKind::frame) {
        missing += item.facts.dropped_before + 1;
        count_in(item.facts, -1);
        drop(item.facts, item.payload, on_dropped);
        item = Item{};
        continue;
      }
      item.facts.dropped_before += std::exchange(missing, 0);
      if (kept != i) ring_[(first_ + kept) % ring_.size()] = std::exchange(item, Item{});
      ++kept;
    }
    count_ = kept;
    missing_ += missing;
  }

  mutable std::mutex mutex_;
  std::condition_variable room_;
  FrameQueueLimits limits_;
  std::vector<Item> ring_;
  size_t first_ = 0, count_ = 0;
  size_t limited_ = 0;  // waiting messages that count as frames, those that the strand was given included
  uint64_t bytes_ = 0, queued_frames_ = 0, received_ = 0, dropped_ = 0;
  uint32_t missing_ = 0;  // dropped since the last one that was taken
  bool awaits_key_ = false, wake_needed_ = true, is_closed_ = false;
  int waiting_ = 0;

  // The strand's own.
  std::vector<Item> given_;  // up to next_: retained; from there: not taken yet
  size_t next_ = 0;
  uint64_t retained_bytes_ = 0;
  bool is_abandoned_ = false;
};

}  // namespace sightglass::stream
