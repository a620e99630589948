// Results: objects in a frame (Region) and typed attributes of objects and of whole frames.
//
// Coordinates are 0..1 of the picture, x to the right, y down, so that they survive scaling. Angles are
// radians, clockwise, of a box given before its rotation about its centre.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sightglass/core/label.h"
#include "sightglass/core/ref.h"
#include "sightglass/core/tensor.h"

namespace sightglass {

struct Box {
  float x = 0, y = 0, w = 0, h = 0;
  float right() const { return x + w; }
  float bottom() const { return y + h; }
  float area() const { return w * h; }
  bool operator==(const Box&) const = default;
};
float iou(const Box& a, const Box& b);  // intersection over union, 0..1

enum class AttributeKind : uint8_t {
  box,
  classification,
  multi,
  text,
  number,
  vector,
  tensor,
  keypoints,
  contour,
  mask
};
std::string_view to_string(AttributeKind kind);  // "class" for classification, else the name

// What the numbers of an attribute stand for; made once by whoever computes it, shared by all results.
struct Legend final : RefCounted {
  std::vector<std::string> names;                    // of the points, by place; of the label ids of a mask
  std::vector<std::pair<uint16_t, uint16_t>> links;  // points to be joined by a line: the skeleton
};

struct Attribute {
  Label name;
  AttributeKind kind = AttributeKind::text;
  std::string text;       // label of a class, or the text itself
  int32_t label_id = -1;  // index in the label list; -1: none
  float confidence = 0;   // 0..1
  double number = 0;      // kind number
  // vector; keypoints: x, y, score triples, x and y -1 where not found;
  // contour: x, y pairs; box: x, y, w, h; mask: x, y, w, h of the part
  // of the frame that it covers, empty for all of it
  std::vector<float> values;
  // kind tensor; mask: [height, width], f32 the score of each cell 0..1, or u8 its label id (255: none)
  Tensor tensor;
  Ref<const Legend> legend;  // keypoints, mask; may be null
  Label model;               // model that it comes from
  uint32_t age = 0;          // frames since it was computed; 0: on this frame
};

// An immutable list of attributes, shared by count. Adding one makes a new list.
class AttributeList final : public RefCounted {
 public:
  explicit AttributeList(std::vector<Attribute> attributes) : attributes_(std::move(attributes)) {}
  const std::vector<Attribute>& items() const { return attributes_; }
  const Attribute* find(std::string_view name) const;

 private:
  std::vector<Attribute> attributes_;
};
using AttributesRef = Ref<const AttributeList>;

// The list with the attribute added, in place of one of the same name and model. `list` may be null.
AttributesRef with(const AttributesRef& list, Attribute attribute);

struct Region {
  int32_t id = -1;      // within the frame, from 0; -1: added by this element, the runtime numbers it
  int32_t parent = -1;  // id of the region that it was found in; -1: none
  Box box;
  float angle = 0;
  float confidence = 0;
  Label label;
  int32_t label_id = -1;
  Label model;        // model that found it
  int64_t track = 0;  // track id, from 1; 0: untracked
  AttributesRef attributes;
  bool operator==(const Region&) const = default;
};

}  // namespace sightglass
