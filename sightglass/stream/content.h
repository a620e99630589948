// The bytes that a message's body refers to, as far as they came with it.
#pragma once

#include "sightglass/stream/delivery.h"
#include "sightglass/stream/messages.h"

namespace sightglass::stream {

// `content` is of a body of the delivery's message. Empty: no content, or some that this version does not
// read.
Payload content_of(const Content& content, const Delivery& delivery);

}  // namespace sightglass::stream
