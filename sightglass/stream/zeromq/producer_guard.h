// Keeps those who send rubbish, or invent source ids, from costing more than a look at the door. Values and
// times in, verdicts out; no clock, no lock.
//
// 100 rejections in 10 s mute the producer, never the source id, for 10 s; each further time within 10
// minutes for twice as long, up to 10 minutes. New source ids pass a token bucket: 10 a second, 64 at once;
// those that passed are remembered.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

namespace sightglass::stream {

// The least recently used of at most `most` values by name goes first.
template <class Value>
class RecentMap {
 public:
  explicit RecentMap(size_t most) : most_(most) {}

  Value* find(std::string_view name) {
    const auto found = places_.find(name);
    if (found == places_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    return &found->second->second;
  }
  Value& operator[](std::string_view name) {
    if (Value* value = find(name)) return *value;
    if (entries_.size() >= most_) {
      places_.erase(entries_.back().first);
      entries_.pop_back();
    }
    entries_.emplace_front(std::string(name), Value{});
    places_.emplace(entries_.front().first, entries_.begin());
    return entries_.front().second;
  }
  void erase(std::string_view name) {
    const auto found = places_.find(name);
    if (found == places_.end()) return;
    entries_.erase(found->second);
    places_.erase(found);
  }
  size_t size() const { return entries_.size(); }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  size_t most_;
  std::list<std::pair<std::string, Value>> entries_;
  std::unordered_map<std::string, typename std::list<std::pair<std::string, Value>>::iterator, Hash,
                     std::equal_to<>>
      places_;
};

class ProducerGuard {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::steady_clock::duration;
  static constexpr size_t rejections_to_mute = 100;
  static constexpr std::chrono::seconds window{10}, first_mute{10};
  static constexpr std::chrono::minutes longest_mute{10}, forgiven_after{10};

  explicit ProducerGuard(size_t producers = 1024) : producers_(producers) {}

  // `producer`: whatever tells them apart, a routing id or a uuid. True: it has just been muted.
  bool rejected(std::string_view producer, Time now);
  bool muted(std::string_view producer, Time now);

 private:
  struct Record {
    std::array<Time, rejections_to_mute> times{};  // a ring
    size_t count = 0, next = 0;
    Time muted_until{};
    Duration mute{};  // the last one's length
  };
  RecentMap<Record> producers_;
};

class SourceGate {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Options {
    double per_second = 10, burst = 64;
    size_t remembered = 640;  // 10 × max_streams
  };
  explicit SourceGate(const Options& options) : options_(options), known_(options.remembered) {}

  // Whether a message of this source may come in. Nothing is kept of those that may not.
  bool admit(std::string_view source, Time now);

 private:
  struct Known {};
  Options options_;
  RecentMap<Known> known_;
  double tokens_ = 0;
  Time filled_{};
  bool started_ = false;
};

}  // namespace sightglass::stream
