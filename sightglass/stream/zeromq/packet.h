// A message of a writer as it goes into the socket, kept until it need not be sent again. Its parts share the
// memory of the payload.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sightglass/stream/delivery.h"
#include "sightglass/stream/zeromq/socket.h"

namespace sightglass::stream {

struct Packet {
  std::string source;
  int64_t epoch = 0, seq = 0;
  bool keyframe = false;
  bool end = false;  // end of stream: nothing of this epoch follows
  uint64_t bytes = 0;
  std::vector<MessagePart> parts;
  std::shared_ptr<Settlement> settlement;  // may be null
};

}  // namespace sightglass::stream
