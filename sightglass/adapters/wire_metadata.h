// Results between core and wire: boxes to pixels and back, attribute kinds to wire values and back. The hint
// of a wire attribute names the kind (to_string(AttributeKind)), so that what we have written reads back as
// it was; attributes of others are read by the type of their first value.
//
//   class, multi   value 0: the label with its confidence; then its number; multi: then [id, score, …]
//   text, number   value 0; number: then its text
//   vector, tensor a Tensor; a tensor's format as second value
//   keypoints      Points in pixels, then the scores
//   contour, box   Points, a Box, in pixels
//   mask           scores: a Mask of what is at least 0.5; label ids: a Tensor; then the Box it covers
//
// Thread-safe. Labels from the wire become core Labels, which live for ever: no more than 16,384 of them,
// then "other" stands for those that are new. Names that the module itself uses, such as the classes of its
// models, are always known, whoever has used the others up.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/stream/messages.h"

namespace sightglass::adapters {

Label wire_label(std::string_view text);
// With hyphens, as stream::to_string() writes it, but without allocating.
std::array<char, 36> to_text(const stream::Uuid& uuid);

// Attributes of the models "tag", "stream", "track" and "draw" stand for something else in a message (tags,
// track_state, draw_label) or are facts for selectors that leave no module.
bool is_reserved(const Attribute& attribute);

// `width` and `height` in pixels. None: nothing that core can hold (Opaque, an empty list).
std::optional<Attribute> to_attribute(const stream::Attribute& from, int width, int height);
// False: it cannot be said on the wire (a tensor on a device, or over 4 MiB).
bool to_wire(const Attribute& from, int width, int height, stream::Attribute& to);

Region to_region(const stream::Object& from, int width, int height);
// `left_out` counts attributes that cannot be said.
void to_wire(const Region& from, int width, int height, stream::Object& to, uint64_t& left_out);

}  // namespace sightglass::adapters
