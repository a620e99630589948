// A partition that this member of the group owns at the moment: how far it has come, what waits for room in
// its streams, and the settlements of what is under way. When the partition goes to another member, what is
// still said about its messages is ignored.
//
// Messages wait per source id, in order; a source whose stream is full or refuses for now holds up no other
// one, until so much waits that the whole partition is paused. Ids may come without end: beyond
// `most_sources` those that have ended are forgotten, then those that have been silent for longest; one of
// these that comes again is a new one, whose next owner waits for a keyframe if it had an open group.
//
// The polling thread's own, but for what settlements touch from any thread (under the lock).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/kafka/damaged_batch.h"
#include "sightglass/adapters/kafka/offset_sequence.h"
#include "sightglass/adapters/kafka/partition_log.h"

namespace sightglass::adapters {

// How often messages were not taken, by reason. Thread-safe.
class RefusalCounts {
 public:
  void add(std::string_view reason);
  std::map<std::string, uint64_t> get() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, uint64_t, std::less<>> counts_;
};

class Assigned : public std::enable_shared_from_this<Assigned> {
 public:
  using Clock = std::chrono::steady_clock;
  // Beyond these the partition is paused; it goes on at half of them.
  static constexpr size_t most_waiting = 256, most_waiting_bytes = size_t(32) << 20;
  static constexpr unsigned most_attempts = 5;
  static constexpr size_t most_sources = 4096;

  // `processed`: what is in front of it was done by an earlier owner.
  Assigned(std::string topic, int partition, int64_t processed, std::shared_ptr<RefusalCounts> refusals);

  const std::string& topic() const { return topic_; }
  int partition() const { return partition_; }

  // A message that can be delivered.
  void take(stream::Delivery delivery, int64_t offset, int64_t time_ms);
  // One that cannot, or holds nothing for us.
  void skip(int64_t offset);
  // Offers what waits, until nothing is taken any more. False: closed.
  bool pump(Deliver& out);

  bool is_overfull() const { return waiting_ > most_waiting || waiting_bytes_ > most_waiting_bytes; }
  bool has_room() const { return waiting_ <= most_waiting / 2 && waiting_bytes_ <= most_waiting_bytes / 2; }
  bool is_waiting() const { return waiting_ > 0; }
  bool is_paused = false;
  OffsetSequence order;  // of what is read
  DamagedBatch damage;   // that stands at order.next()
  int64_t seek_to = -1;  // where reading has to go on; -1: where it is

  std::vector<std::string> source_ids() const;  // those that are not forgotten
  // Delivered and not settled. What waits here will not be delivered any more after stop_delivering().
  size_t under_way() const { return under_way_; }
  void stop_delivering();
  LogPosition position() const;
  LogPosition committed;
  // Nothing is heard of it any more.
  void close();

 private:
  struct Item {
    stream::Delivery delivery;
    int64_t offset = 0;
    unsigned attempts = 0;
  };
  struct Source {
    std::deque<Item> waiting;
    std::vector<Item> open_group;  // done by an earlier owner; needed if the group goes on
    Clock::time_point hold_until{};
  };
  class Ticket;
  Source& source_of(const std::string& id);
  void forget();
  void enqueue(Source& source, Item item);
  void take_back();
  void settle(int64_t offset);
  void give_back(Item item);
  bool has_given_up(std::string_view source_id, std::string_view code) const;
  void note_given_up(std::string_view source_id, std::string_view code);
  void note_taken(std::string_view source_id);

  const std::string topic_;
  const int partition_;
  const int64_t processed_;
  const std::shared_ptr<RefusalCounts> refusals_;
  std::map<std::string, Source, std::less<>> sources_;
  size_t waiting_ = 0, waiting_bytes_ = 0, forget_at_ = most_sources;

  std::atomic<size_t> under_way_{0};
  mutable std::mutex mutex_;
  PartitionLog log_;
  std::vector<Item> returned_;
  // Sources whose last message was refused for good after all attempts, and why; until one is taken.
  std::map<std::string, std::string, std::less<>> given_up_;
  bool is_closed_ = false;
};

}  // namespace sightglass::adapters
