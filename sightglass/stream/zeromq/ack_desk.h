// What a reader of a router shares with the settlements of its messages, which come back from any thread:
// what is to be acknowledged, and what is to be taken again.
//
//   delivery.settlement = desk_settlement(desk, message, AckLevel::processed);
//   …on the reader's thread: desk->collector.due(now, false), under desk->mutex
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "sightglass/stream/delivery.h"
#include "sightglass/stream/zeromq/ack_collector.h"
#include "sightglass/stream/zeromq/wakeup.h"

namespace sightglass::stream {

struct AckDesk {
  using Clock = std::chrono::steady_clock;
  explicit AckDesk(const AckCollector::Options& options) : collector(options) {}

  struct Forgotten {
    EpochKey key;
    int64_t seq = 0;
    std::optional<Uuid> uuid;
  };

  // `change(collector, now)`, and the reader is woken where it waits for longer than it may now.
  template <class Change>
  void change(Change function) {
    const auto now = Clock::now();
    std::lock_guard lock(mutex);
    const auto before = collector.deadline();
    function(now);
    const auto after = collector.deadline();
    if (after && (!before || *after < *before)) wakeup.wake();
  }

  std::mutex mutex;
  AckCollector collector;
  std::vector<Forgotten> forgotten;  // the filter is to take them again
  // A keyframe was asked for: what is replayed is wanted although it was seen. What was on its way when it
  // was asked for comes first; what comes behind the replayed ends it.
  struct Restart {
    bool is_replaying = false;
    uint64_t order = 0;
  };
  static constexpr size_t most_restarts = 1024;
  std::map<EpochKey, Restart> restarting;
  uint64_t restarts = 0;
  uint64_t refused = 0;
  Wakeup wakeup;
};

// Settles one message at its desk, with what comes first of a level and a refusal. A message that is let go
// of without either is forgotten, so that it is taken when it comes again.
std::shared_ptr<Settlement> desk_settlement(std::shared_ptr<AckDesk> desk, const Message& message,
                                            AckLevel level);

}  // namespace sightglass::stream
