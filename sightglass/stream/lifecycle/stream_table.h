// All virtual streams of a module: who is known, who has a place (max_streams), who has to give his up, and
// who is not let in at all.
//
//   StreamTable table({.rules = rules}, make_entry);
//   StreamTable::Reader reader(table);        // one per receiving thread
//   auto found = reader.find(source_id, now);  // before the body is even read
//   if (found.refusal != Denial::none) return count(found.refusal);
//   static_cast<MyStream&>(*found.pin).push(message);  // the pin keeps it from being forgotten
//
// An entry is the runner's own object per source id (strand, queue, machine …), derived from StreamEntry. It
// lives from its first message until its machine says Action::forget, or until a newcomer needs its place in
// memory: at most 10 × max_streams are remembered. Unknown ids pass a token bucket first (W-13).
//
// Thread-safe. Reader::find() of a known id takes no lock; the table's lock is held for the search of one
// map, at the start and end of streams only. The entries' hooks are called without it, on any thread: they
// post.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"
#include "sightglass/stream/lifecycle/stream_rules.h"

namespace sightglass::stream {

// `rate` a second, up to `burst` at once. Not thread-safe.
class TokenBucket {
 public:
  TokenBucket(double rate, double burst) : rate_(rate), burst_(burst), tokens_(burst) {}
  bool take(Time now);

 private:
  double rate_, burst_, tokens_;
  Time last_ = no_time;
};

class StreamEntry {
 public:
  explicit StreamEntry(std::string id) : id_(std::move(id)) {}
  virtual ~StreamEntry() = default;
  StreamEntry(const StreamEntry&) = delete;
  StreamEntry& operator=(const StreamEntry&) = delete;
  const std::string& id() const { return id_; }

  // From the strand, after each change of state: what the table needs to know to choose.
  void set_refused_until(Time until) { refused_until_ = until; }  // Action::blacklist
  void set_idle_since(Time since) { idle_since_ = since; }        // no_time: not IDLE
  void set_needed(bool needed) { needed_ = needed; }              // StreamMachine::is_needed()
  void set_last_used(Time now) { last_used_ = now; }
  bool is_refused(Time now) const { return now < refused_until_; }

 protected:
  friend class StreamTable;
  virtual void on_slot_granted() = 0;  // → if has_slot() still: StreamMachine::slot_granted()
  virtual void on_evict() = 0;         // → Command::evict
  virtual void on_forgotten() = 0;     // is no longer in the table; nothing will come any more
  // Has messages that nobody has looked at yet, and so nobody has refused. Any thread.
  virtual bool is_occupied() const = 0;

 private:
  const std::string id_;
  std::atomic<Time> refused_until_{0}, idle_since_{no_time}, last_used_{0};
  std::atomic<bool> needed_{false}, forgotten_{false};
  std::atomic<int> pins_{0};
  // Under the table's lock.
  bool has_slot_ = false, is_evicted_ = false;
  int priority_ = 0;
  uint64_t slot_order_ = 0;
};

enum class Denial : uint8_t { none, source_id, source_flood, blacklisted, draining };
std::string_view to_string(Denial refusal);

class StreamTable {
 public:
  struct PatternRules {
    std::string pattern;  // of source ids, with * and ?
    StreamRules rules;    // complete; the module-wide ones are not read
  };
  struct Options {
    StreamRules rules;
    std::vector<PatternRules> overrides;  // the first that matches counts
  };
  struct NewStream {
    std::string_view id;
    std::shared_ptr<const StreamRules> rules;
  };
  using Factory = std::function<std::shared_ptr<StreamEntry>(const NewStream&)>;

  StreamTable(Options options, Factory make_entry);
  StreamTable(const StreamTable&) = delete;
  StreamTable& operator=(const StreamTable&) = delete;
  ~StreamTable();

  static constexpr size_t remembered_per_place = 10;  // known ids per max_streams

  // A borrowed entry that is in the table as long as this lives.
  class Pin {
   public:
    Pin() = default;
    Pin(Pin&& other) noexcept : entry_(std::exchange(other.entry_, nullptr)) {}
    Pin& operator=(Pin&& other) noexcept {
      std::swap(entry_, other.entry_);
      return *this;
    }
    ~Pin() {
      if (entry_) entry_->pins_.fetch_sub(1);
    }
    explicit operator bool() const { return bool(entry_); }
    StreamEntry& operator*() const { return *entry_; }
    StreamEntry* operator->() const { return entry_.get(); }
    const std::shared_ptr<StreamEntry>& entry() const { return entry_; }

   private:
    friend class StreamTable;
    std::shared_ptr<StreamEntry> entry_;
  };
  struct Found {
    Denial refusal = Denial::none;
    Pin pin;  // where not refused
  };
  // Remembers whom it has seen. One per thread.
  class Reader {
   public:
    explicit Reader(StreamTable& table) : table_(&table) {}
    Found find(std::string_view source_id, Time now);

   private:
    struct Hash {
      using is_transparent = void;
      size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
    };
    StreamTable* table_;
    uint64_t removals_ = 0;
    std::unordered_map<std::string, std::shared_ptr<StreamEntry>, Hash, std::equal_to<>> known_;
  };

  // For calls from outside (HTTP): null when it is not known.
  std::shared_ptr<StreamEntry> get(std::string_view source_id) const;
  std::vector<std::shared_ptr<StreamEntry>> entries() const;  // by id
  std::shared_ptr<const StreamRules> rules_for(std::string_view source_id) const;

  // New rules for streams to come and, through rules_for(), for those there are.
  void set_rules(Options options);

  // ── places, L-03 ──
  enum class Slot : uint8_t { granted, pending, refused };
  // pending: another stream was asked to go; on_slot_granted() follows when it has.
  Slot acquire(StreamEntry& entry, const StreamRules& rules);
  void release(StreamEntry& entry);  // gives the place to who waits for it, or withdraws a request
  bool has_slot(const StreamEntry& entry) const;
  unsigned slots_in_use() const { return slots_; }

  // Action::forget. False: a message is on its way to it; it stays.
  bool forget(StreamEntry& entry);
  // No new ids any more, L-24.
  void drain() { draining_ = true; }

  // ── instances that do not stop, L-23 ──
  void note_stuck(int change) { stuck_ += change; }
  int stuck() const { return stuck_; }
  bool has_too_many_stuck() const { return stuck_ > int(max_stuck_); }

 private:
  using Map = std::unordered_map<std::string_view, std::shared_ptr<StreamEntry>>;
  static bool pin(const std::shared_ptr<StreamEntry>& entry, Pin& pin);
  Found find_or_make(std::string_view source_id, Time now);
  std::shared_ptr<const StreamRules> rules_for_locked(std::string_view source_id) const;
  std::shared_ptr<StreamEntry> make_room_locked();
  bool remove_locked(StreamEntry& entry);
  StreamEntry* choose_victim(const StreamEntry& newcomer, const StreamRules& rules) const;

  mutable std::mutex mutex_;
  const Factory make_entry_;
  std::shared_ptr<const StreamRules> rules_;
  std::vector<std::pair<std::string, std::shared_ptr<const StreamRules>>> overrides_;
  unsigned max_streams_, max_stuck_;
  Map entries_;
  std::deque<std::shared_ptr<StreamEntry>> waiting_;  // for a place, first come first served
  TokenBucket newcomers_;
  uint64_t slot_order_ = 0;
  std::atomic<unsigned> slots_{0};
  std::atomic<uint64_t> removals_{0};
  std::atomic<int> stuck_{0};
  std::atomic<bool> draining_{false};
};

// What is wrong with the overrides: a pattern, a key that only the module as a whole may have.
Status check(const StreamTable::Options& options);

}  // namespace sightglass::stream
