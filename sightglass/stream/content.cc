#include "sightglass/stream/content.h"

#include <variant>

namespace sightglass::stream {

Payload content_of(const Content& content, const Delivery& delivery) {
  if (const auto* bytes = std::get_if<Inline>(&content)) return {bytes->data, delivery.message};
  const auto* part = std::get_if<Part>(&content);
  if (!part || part->index < 0 || size_t(part->index) >= delivery.payloads.size()) return {};
  return delivery.payloads[size_t(part->index)];
}

}  // namespace sightglass::stream
