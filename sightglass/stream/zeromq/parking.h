// Messages whose schema is not known yet wait here until it is announced: 64 of each producer, for 2 s.
// Values and times in, decisions out; no clock, no lock.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/stream/zeromq/producer_guard.h"
#include "sightglass/stream/zeromq/socket.h"

namespace sightglass::stream {

class Parking {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr size_t per_producer = 64, all = 1024;
  static constexpr uint64_t all_bytes = 256 << 20;
  static constexpr std::chrono::seconds longest{2}, between_requests{1};

  struct Parked {
    std::string producer;  // routing id; empty where a socket has none, then all are one
    uint64_t fingerprint = 0;
    uint64_t bytes = 0;
    Time since{};
    std::vector<MessagePart> parts;
  };

  // False: there is no room, and `parts` is as it was.
  bool park(std::string_view producer, uint64_t fingerprint, std::vector<MessagePart>& parts, Time now);
  // The next one of this schema, in the order of arrival.
  std::optional<Parked> take(uint64_t fingerprint);
  // Whether this producer is to be asked for the schema now; once a second.
  bool request_due(std::string_view producer, uint64_t fingerprint, Time now);
  // Gives up those that have waited too long, and returns the producer of each.
  std::vector<std::string> expire(Time now);

  std::optional<Time> deadline() const;
  size_t size() const { return parked_.size(); }

 private:
  std::deque<Parked> parked_;
  uint64_t bytes_ = 0;
  RecentMap<Time> asked_{256};
};

}  // namespace sightglass::stream
