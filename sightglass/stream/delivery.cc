#include "sightglass/stream/delivery.h"

#include <utility>

namespace sightglass::stream {

Payload own(std::vector<uint8_t> bytes) {
  auto owner = std::make_shared<const std::vector<uint8_t>>(std::move(bytes));
  return {.bytes = *owner, .owner = owner};
}

}  // namespace sightglass::stream
