// What a reader accepts at most. Each is checked before anything is allocated for it, and a writer keeps to
// them as well, so that it learns of a message that nobody would take. Sizes are bytes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sightglass::stream {

inline constexpr size_t KiB = 1024;
inline constexpr size_t MiB = 1024 * KiB;

struct Limits {
  // the message as it comes from the socket
  size_t body = 8 * MiB;
  size_t part = 64 * MiB;
  size_t message = 256 * MiB;
  size_t payload_parts = 16;
  // counts
  size_t objects = 1024;         // in a frame or an update
  size_t attributes = 128;       // of one owner
  size_t all_attributes = 8192;  // of a message
  size_t values = 256;           // of one attribute; other short lists
  size_t items = 65'536;         // of any other array
  size_t points = 1024;          // of a polygon; polygons of a value
  size_t dimensions = 32;        // of a tensor; planes; arguments of a transformation
  size_t transformations = 32;
  size_t tags = 32;
  size_t labels = 64;
  size_t parent_chain = 16;  // objects from one without a parent down to the innermost
  // texts and bytes
  size_t name = 256;  // names, labels, hints
  size_t string = 64 * KiB;
  size_t tensor = 4 * MiB;
  int64_t mask_cells = 16'777'216;  // of all masks of a message; a few runs of bytes stand for any number
  size_t schema_text = 256 * KiB;
  // pictures
  int32_t side = 16'384;
  int64_t pixels = 134'217'728;
  int64_t image_pixels = 67'108'864;  // that a JPEG or PNG declares
  int32_t rate = 1000;                // frames per second
  int32_t time_base_term = 1'000'000'000;
  // What the structs of a message may take beyond twice the size of its body. A value of two bytes becomes a
  // struct of a hundred, so the limits above alone would let a small body become large.
  size_t structs = 4 * MiB;
};

}  // namespace sightglass::stream
