// The queue in front of one sink: records of all streams wait here while the sink is slow or away.
//
//   SinkQueue queue({.policy = QueuePolicy::spill}, std::move(spill));
//   // strands
//   SinkItem item{.record = record, .bytes = size, .stream = 7, .keyframe = true};
//   queue.push(item, timeout);
//   // the sink's thread
//   while (queue.pop(items, 200, timeout)) { deliver(items); queue.done(items.size()); items.clear(); }
//
// Policies when `records` or `bytes` are used up (3.6):
//   block             push() waits up to its time-out, then answers `full`; the record stays with the caller
//   drop_oldest       the oldest records go
//   drop_to_keyframe  a stream's records go until its next keyframe; that replaces what waits of its stream
//   spill             to disk, in order, up to its limit; then its oldest segment goes. What is on disk
//                     survives a crash and counts as stored, told to on_spilled; while memory has room it
//                     stays there as well, and is not read back. A disk that fails is drop_oldest, too; where
//                     older records wait on it that memory lacks, the newcomer goes, for the order's sake
// Records marked `keep` (EOS, StreamUpdate) are never dropped: a reserve of places is theirs; when even that
// is used up, push() waits like block. One that a failing disk does not take comes before what waits there
// and memory has no room for. Every record that is dropped from memory is told to on_dropped, once.
//
// Records go to disk in batches, one system call for all of them: when 64 KiB have come together, at the
// latest 5 ms after the first (a thread of the queue's own sees to that), and always before the sink gets
// them.
//
// Popped records count until done() says that they are stored; after retry() they come again, in order.
//
// Thread-safe: any number of writers, one reader. Nothing is allocated once warm, but for what is spilled;
// spilling and reading back happen under the lock.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "sightglass/core/result.h"
#include "sightglass/stream/lifecycle/spill_file.h"
#include "sightglass/stream/lifecycle/stream_rules.h"

namespace sightglass::stream {

struct SinkItem {
  std::shared_ptr<const void> record;
  uint64_t bytes = 0;     // that it holds in memory, about
  uint64_t stream = 0;    // any number per source id
  bool keyframe = false;  // its picture stands alone, or it has none
  bool keep = false;      // EOS, StreamUpdate
  bool on_disk = false;   // of popped ones: on_spilled has been told, its writer waits no longer

  template <class Record>
  std::shared_ptr<const Record> as() const {
    return std::static_pointer_cast<const Record>(record);
  }
};

struct SinkQueueLimits {
  size_t records = 256;
  uint64_t bytes = 128u << 20;
  size_t reserve = 64;
  QueuePolicy policy = QueuePolicy::drop_oldest;
  bool durable = false;  // spill: at once, so that a crash loses nothing that was taken
};

// How a record becomes bytes and comes back.
struct SinkSpill {
  std::unique_ptr<SpillFile> file;
  std::function<void(const SinkItem&, std::vector<uint8_t>&)> encode;  // appends; nothing: it cannot be said
  std::function<Result<SinkItem>(std::span<const uint8_t>)> decode;
};

class SinkQueue {
 public:
  enum class Status : uint8_t { taken, dropped, full, closed };
  struct Counts {
    uint64_t pushed = 0, delivered = 0, dropped = 0;
    uint64_t records = 0, bytes = 0;                            // in memory, popped ones included
    uint64_t spilled = 0, spill_dropped = 0, spill_errors = 0;  // dropped: damaged ones (SpillFile) too
    uint64_t spill_records = 0, spill_bytes = 0;                // on disk
    std::string last_error;                                     // of the disk
  };

  using Told = std::function<void(const SinkItem&)>;
  // Both are called with the lock held, on any thread: they only settle. Policy spill needs `spill`.
  explicit SinkQueue(const SinkQueueLimits& limits, SinkSpill spill = {}, Told on_dropped = {},
                     Told on_spilled = {});
  ~SinkQueue();  // what was taken with policy spill and `durable` is on disk

  // `item` is moved from unless the answer is full or closed. Time-out 0: does not wait.
  Status push(SinkItem& item, std::chrono::nanoseconds timeout = {});
  // Appends up to `most` to `items`, waiting until `least` are there, the queue is full or closed, or the
  // time is up. False: there was none.
  bool pop(std::vector<SinkItem>& items, size_t most, std::chrono::nanoseconds timeout, size_t least = 1);
  void done(size_t items);  // the oldest popped ones are stored
  void retry();             // the popped ones come again
  bool has_room() const;
  bool is_empty() const;  // nothing waits, nothing is popped and not done
  // Nothing is taken any more; what is there can still be popped, and what goes to disk is there.
  void close();
  Counts counts() const;

 private:
  struct Place {
    SinkItem item;
    uint32_t disk_records = 0;  // that are delivered with it; 0: it was never on disk
  };
  Place& at(size_t index) { return ring_[(first_ + index) % ring_.size()]; }
  bool fits(const SinkItem& item) const;
  bool fits_reserve() const { return count_ < limits_.records + limits_.reserve; }
  void take(SinkItem& item, uint32_t disk_records = 0);
  Status drop(SinkItem& item);
  Status spill(SinkItem& item);
  bool make_room_on_disk(const SinkItem& item);
  void write_batch();
  void settle_written(size_t records);
  Status keep_in_memory(SinkItem& item);
  void write_in_time(const std::stop_token& stop);
  template <class Condition>
  void drop_waiting(const SinkItem& newcomer, Condition&& condition);
  void read_back();
  // Nothing is on disk, or on its way there, that memory lacks.
  bool is_read() const { return !spill_.file || (spill_.file->unread() == 0 && leaving_.empty()); }
  bool is_full() const { return count_ > 0 && (count_ >= limits_.records || bytes_ >= limits_.bytes); }
  bool has_enough() const { return count_ - popped_ >= wanted_ || is_full() || !is_read(); }
  void note_error(const Error& error);
  bool awaits_key(uint64_t stream) const;
  void set_awaits_key(uint64_t stream, bool awaits);

  const SinkQueueLimits limits_;
  const Told on_dropped_, on_spilled_;
  mutable std::mutex mutex_;
  std::condition_variable filled_, room_;
  SinkSpill spill_;
  std::vector<Place> ring_;
  size_t first_ = 0, count_ = 0, popped_ = 0;  // the first `popped_` are with the sink
  size_t wanted_ = 1;                          // records that pop() waits for
  uint64_t bytes_ = 0;
  uint32_t undecoded_ = 0;  // records from disk that nobody understood, since the last good one
  // The batch for the disk: the last `staying_` places, then those that memory has no room for.
  size_t staying_ = 0;
  std::vector<SinkItem> leaving_;
  std::chrono::steady_clock::time_point batch_due_;
  std::condition_variable_any batch_begun_;
  std::vector<uint64_t> awaiting_;  // streams that wait for a keyframe
  std::vector<uint8_t> buffer_;
  Counts counts_;
  bool is_closed_ = false;
  std::jthread batch_writer_;  // once there is something to write
};

}  // namespace sightglass::stream
