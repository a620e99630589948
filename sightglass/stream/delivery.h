// A message on its way into a module, with its payload and with whoever wants to know what became of it. What
// readers of sockets and sources inside the process hand over, and all that the module sees of them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "sightglass/stream/messages.h"

namespace sightglass::stream {

// One payload part: bytes that `owner` keeps alive and that nobody changes.
struct Payload {
  std::span<const uint8_t> bytes;
  std::shared_ptr<const void> owner;
};
// Owns the bytes itself.
Payload own(std::vector<uint8_t> bytes);

// Told once what became of a message; the way to acknowledgements. Called on any thread, must not block.
class Settlement {
 public:
  virtual ~Settlement() = default;
  virtual void accepted() {}  // it stands in its stream's queue
  // Stored by all required sinks, or settled by a policy that was counted: will not be needed again.
  virtual void processed() = 0;
  virtual void refused(std::string_view code, bool retry) = 0;
};

struct Delivery {
  std::shared_ptr<const Message> message;
  std::vector<Payload> payloads;           // by the index that the body names
  std::shared_ptr<Settlement> settlement;  // may be null
  int64_t received_ns = 0;                 // steady clock
  bool lossless = true;                    // false from pub/sub, where gaps are normal
};

}  // namespace sightglass::stream
