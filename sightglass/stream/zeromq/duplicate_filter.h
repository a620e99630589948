// Whether a message has been seen before, and how many are missing in front of it. Values in, verdicts out;
// no clock, no lock.
//
//   filter.check(producer, "cam-1", epoch, seq, uuid)  →  fresh, 3 missing
//
// Two memories per source, both of fixed size: for each producer and epoch the last contiguous seq with a
// window of 1,024 behind it, and across producers the uuids of the last 4,096 frames, which an adapter that
// starts again sends again. What is older than the window counts as seen. The sources that were silent for
// longest are forgotten first.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <deque>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "sightglass/stream/messages.h"

namespace sightglass::stream {

// The seqs of one producer's epoch: all up to `contiguous`, and some of those after it.
class SequenceWindow {
 public:
  static constexpr int64_t width = 1024;

  explicit SequenceWindow(int64_t first) : contiguous_(first - 1), highest_(first - 1) {}
  bool seen(int64_t seq) const;
  // Returns how many seqs between the highest one so far and this one have not come (yet).
  int64_t add(int64_t seq);
  // It will come again: as if it had never been there.
  void remove(int64_t seq);

  int64_t contiguous() const { return contiguous_; }

 private:
  // A ring: the bit of seq is that of seq % width.
  static size_t place(int64_t seq) { return static_cast<size_t>(seq % width); }
  std::bitset<width> later_;  // of contiguous_ + 1 … contiguous_ + width
  int64_t contiguous_, highest_;
};

// The last 4,096 uuids.
class UuidMemory {
 public:
  static constexpr size_t capacity = 4096;
  // False: it was there.
  bool add(const Uuid& uuid);
  void remove(const Uuid& uuid);

 private:
  struct Hash {
    size_t operator()(const Uuid& uuid) const;
  };
  std::unordered_set<Uuid, Hash> known_;
  std::vector<Uuid> order_;  // a ring
  size_t oldest_ = 0;
};

class DuplicateFilter {
 public:
  static constexpr size_t producers_per_source = 8, epochs_per_producer = 4;

  explicit DuplicateFilter(size_t sources = 1024) : most_sources_(sources) {}

  enum class Verdict : uint8_t {
    fresh,
    duplicate,
    late,  // of an epoch that is over for so long that nothing is known of it
  };
  struct Check {
    Verdict verdict = Verdict::fresh;
    int64_t missing = 0;   // seqs that were skipped right before it
    bool by_uuid = false;  // a duplicate whose number is new
  };
  // `uuid`: of a frame; other messages have none.
  Check check(const Uuid& producer, std::string_view source, int64_t epoch, int64_t seq,
              const std::optional<Uuid>& uuid = std::nullopt);
  // Refused for now: it will come again.
  void forget(const Uuid& producer, std::string_view source, int64_t epoch, int64_t seq,
              const std::optional<Uuid>& uuid = std::nullopt);

 private:
  struct Epoch {
    Uuid producer{};
    int64_t epoch = 0;
    SequenceWindow window;
  };
  struct Source {
    std::string name;
    std::deque<Epoch> epochs;  // the one that came last stands last
    UuidMemory uuids;
  };
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  Source& source(std::string_view name);

  size_t most_sources_;
  std::list<Source> sources_;  // the one that spoke last stands first
  std::unordered_map<std::string, std::list<Source>::iterator, TextHash, std::equal_to<>> by_name_;
};

}  // namespace sightglass::stream
