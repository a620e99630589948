// Reads payloads that a message only names (W-10): below the folders and URLs that LocationRules allow, no
// symbolic link on the way, no address but those allowed (the one that was checked is the one connected to),
// three redirects at most, each checked like the first, and everything within limits of size and time.
//
//   LocationReader reader(rules, {});
//   auto bytes = reader.read(location);     // waits; the error says why there are none
//
// One object per thread; cancel() from any. LocationPool has some of them, and answers later.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "sightglass/core/result.h"
#include "sightglass/module/location_rules.h"
#include "sightglass/stream/delivery.h"
#include "sightglass/stream/limits.h"
#include "sightglass/stream/messages.h"

namespace sightglass::module {

struct LocationLimits {
  uint64_t bytes = uint64_t(64) << 20;  // of one payload
  std::chrono::milliseconds time{5000};
  unsigned redirects = 3;
};

class LocationReader {
 public:
  LocationReader(std::shared_ptr<const LocationRules> rules, const LocationLimits& limits);
  ~LocationReader();
  // Never empty.
  Result<std::vector<uint8_t>> read(const stream::Location& location);
  void cancel();  // what is under way, and all that is to come

 private:
  class Web;
  const std::shared_ptr<const LocationRules> rules_;
  const LocationLimits limits_;
  std::unique_ptr<Web> web_;
};

// A frame whose payload has been read: checked like one that came with its message (W-08, W-09), and its
// content now a Part.
struct Located {
  std::shared_ptr<const stream::Message> message;
  stream::Payload payload;
};

// A few threads, made when they are first needed. Thread-safe.
class LocationPool {
 public:
  LocationPool(std::shared_ptr<const LocationRules> rules, const stream::Limits& limits,
               std::chrono::milliseconds time = LocationLimits().time, unsigned most_threads = 8);
  ~LocationPool();
  using Done = std::function<void(Result<Located>)>;
  // `message` has a frame, whose content is a Location. `done` is called once, on a thread of the pool,
  // unless the pool goes first; then never.
  void read(std::shared_ptr<const stream::Message> message, Done done);

 private:
  class Workers;
  std::unique_ptr<Workers> workers_;
};

}  // namespace sightglass::module
