// The results of a frame as JSON, the form that files, brokers and databases get.
//
//   {"schema":"sightglass.frame/1","resolution":{"width":800,"height":450},"source":"dock-2","timestamp":1320000000,
//    "objects":[{"x":96,"y":120,"w":64,"h":80,"region_id":0,"id":12,"roi_type":"face","detection":{…},"attributes":[…]}]}
//
// The order of the fields is fixed and the text is the same for the same frame, whatever the machine or
// locale.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sightglass/core/frame.h"

namespace sightglass {

class JsonWriter;

enum class JsonLayout : uint8_t {
  sightglass,
  dlstreamer,  // the original's: no schema, attributes as keys of their object, the whole frame as an object
};

// Of a frame that has come through a module; see docs/messages.md.
struct FrameIdentity {
  std::string_view uuid, source_id;
  int64_t epoch = 0, seq = 0;
  Time pts = no_time;
};

struct FrameJsonOptions {
  JsonLayout layout = JsonLayout::sightglass;
  std::string source;            // empty: no such field
  std::string tags;              // a JSON object on one line; empty: no such field
  bool add_tensor_data = false;  // raw tensors and vectors as well
  int indent = -1;
  // Of a module's frame, whose attributes of model "tag" are its tags; null: none.
  const FrameIdentity* identity = nullptr;
  bool add_bounding_box = true;  // false: pixels alone, where the size of the picture is not known
};

// Whether there is anything to say: objects, or attributes of the whole frame that the options let through.
bool has_results(const Frame& frame, const FrameJsonOptions& options);

// Appends to `text`. No allocation once that is large enough.
void write_frame_json(const Frame& frame, const FrameJsonOptions& options, std::string& text);

// Parts of it, as the fields of an object that the caller has begun: for documents of their own.
void write_object_fields(JsonWriter& json, const Frame& frame, const Region& region,
                         const FrameJsonOptions& options);
void write_attribute_fields(JsonWriter& json, const Attribute& attribute);
void write_identity_fields(JsonWriter& json, const FrameIdentity& identity);

// Appends one line of plain text per object: label, confidence and box.
void write_detections(const Frame& frame, std::string& text);

}  // namespace sightglass
