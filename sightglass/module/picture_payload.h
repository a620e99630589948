// The bytes that a message refers to, and whether a raw picture is what it says it is.
#pragma once

#include <string>

#include "sightglass/stream/delivery.h"

namespace sightglass::module {

// Of a frame; empty: metadata only.
stream::Payload picture_of(const stream::Delivery& delivery);

// Whether every row of every plane lies within the `bytes` of a raw picture, at the places that its layout
// names or, without these, where GStreamer has them. `format_name` is GStreamer's name. What does not must
// not get near an element.
bool raw_picture_fits(const stream::VideoFrame& frame, const std::string& format_name, size_t bytes);

}  // namespace sightglass::module
