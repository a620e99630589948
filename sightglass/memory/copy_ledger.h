// Counts what happens to bytes on their way from one place to the next: copied, or shared at the same
// address. So "zero-copy" is a number that tests check. A pipeline has a ledger, each of its hops a named
// counter.
//
//   CopyLedger::Hop& hop = ledger.hop("video_to_tensor → inference");  // once, at set-up
//   hop.copied(bytes);                                                  // per frame: two relaxed additions
//
// Thread-safe. Hops live as long as their ledger and never move.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace sightglass {

class CopyLedger {
 public:
  class alignas(64) Hop {  // a cache line each, so that threads do not slow each other down
   public:
    explicit Hop(std::string_view name) : name_(name) {}
    const std::string& name() const { return name_; }
    void copied(size_t bytes) noexcept { copies_.add(bytes); }
    void shared(size_t bytes) noexcept { shares_.add(bytes); }

   private:
    friend CopyLedger;
    struct Counter {
      std::atomic<uint64_t> count{0}, bytes{0};
      void add(size_t size) noexcept {
        count.fetch_add(1, std::memory_order_relaxed);
        bytes.fetch_add(size, std::memory_order_relaxed);
      }
    };
    Counter copies_, shares_;
    std::string name_;
  };

  struct Entry {
    std::string name;
    uint64_t copies = 0, bytes_copied = 0;
    uint64_t shares = 0, bytes_shared = 0;
    bool operator==(const Entry&) const = default;
  };

  CopyLedger() = default;
  CopyLedger(const CopyLedger&) = delete;
  CopyLedger& operator=(const CopyLedger&) = delete;

  // The hop of this name; made when it is new. Takes a lock.
  Hop& hop(std::string_view name);
  // All hops in the order in which they were made. While frames flow, the numbers of one entry may differ by
  // what happens meanwhile.
  std::vector<Entry> snapshot() const;
  // Sum of all hops, under the name "total".
  Entry total() const;
  void reset();  // all counters to 0; the hops stay

  // The ledger of everything in this process that belongs to no pipeline with one of its own.
  static CopyLedger& process();

 private:
  mutable std::mutex mutex_;  // guards the list, not the counters
  std::deque<Hop> hops_;
};

}  // namespace sightglass
