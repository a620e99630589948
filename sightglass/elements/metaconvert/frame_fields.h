// The fields of a frame's results, in their one order, for writers of different formats: JSON text
// (JsonWriter), and whatever else has its functions key(), value(), field(), begin_object() and so on.
//
//   BsonWriter out(bytes);
//   out.begin_object();
//   fields::schema(out);
//   fields::resolution(out, frame);
//   …
//   out.end_object();
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string_view>

#include "sightglass/core/frame.h"
#include "sightglass/elements/metaconvert/frame_json.h"

namespace sightglass::fields {

template <class Writer>
void numbers(Writer& json, std::string_view name, std::span<const float> numbers) {
  json.key(name);
  json.begin_array();
  for (const float number : numbers) json.value(number);
  json.end_array();
}

// [[x, y, score], …] or [[x, y], …]
template <class Writer>
void points(Writer& json, std::span<const float> values, size_t per_point) {
  json.key("points");
  json.begin_array();
  for (; values.size() >= per_point; values = values.subspan(per_point)) {
    json.begin_array();
    for (size_t i = 0; i < per_point; ++i) json.value(values[i]);
    json.end_array();
  }
  json.end_array();
}

inline bool is_tag(const Attribute& attribute) { return attribute.model.view() == "tag"; }

// What stands for something else in a module's record, or is a fact for its selectors only.
inline bool is_reserved(const Attribute& attribute) {
  const std::string_view model = attribute.model.view();
  return model == "tag" || model == "stream" || model == "draw";
}

inline int64_t to_pixels(float part, int size) {
  const double pixels = double(part) * size;
  return std::isfinite(pixels) ? int64_t(std::llround(std::clamp(pixels, -1e9, 1e9))) : 0;
}

// {"crossing":true}
template <class Writer>
void tags(Writer& json, const Frame& frame) {
  if (!frame.attributes || std::ranges::none_of(frame.attributes->items(), is_tag)) return;
  json.key("tags");
  json.begin_object();
  for (const Attribute& attribute : frame.attributes->items())
    if (is_tag(attribute)) json.field(attribute.name.view(), true);
  json.end_object();
}

template <class Writer>
void attribute(Writer& json, const Attribute& what) {
  json.field("name", what.name.view());
  json.field("kind", to_string(what.kind));
  switch (what.kind) {
    case AttributeKind::classification:
    case AttributeKind::multi:
      json.field("label", what.text);
      if (what.label_id >= 0) json.field("label_id", what.label_id);
      json.field("confidence", what.confidence);
      // Id and score of each class, best first.
      if (!what.values.empty()) numbers(json, "value", what.values);
      break;
    case AttributeKind::text:
      json.field("label", what.text);
      if (what.confidence > 0) json.field("confidence", what.confidence);
      break;
    case AttributeKind::number:
      json.field("value", what.number);
      if (!what.text.empty()) json.field("label", what.text);
      if (what.confidence > 0) json.field("confidence", what.confidence);
      break;
    case AttributeKind::box:
    case AttributeKind::vector:
      numbers(json, "value", what.values);
      break;
    case AttributeKind::mask: {
      static constexpr float all[] = {0, 0, 1, 1};
      if (!what.text.empty()) json.field("label", what.text);
      if (what.label_id >= 0) json.field("label_id", what.label_id);
      if (what.confidence > 0) json.field("confidence", what.confidence);
      numbers(json, "value", what.values.empty() ? std::span<const float>(all) : what.values);
      break;
    }
    case AttributeKind::keypoints:
      points(json, what.values, 3);
      break;
    case AttributeKind::contour:
      points(json, what.values, 2);
      break;
    case AttributeKind::tensor:
      break;
  }
  if (!what.model.empty()) json.field("model", what.model.view());
  if (what.age > 0) json.field("age", what.age);
}

// Those that are `wanted`, as a list; no list when there are none.
template <class Writer, class Wanted>
void attributes(Writer& json, const AttributesRef& list, Wanted&& wanted) {
  if (!list || std::ranges::none_of(list->items(), wanted)) return;
  json.key("attributes");
  json.begin_array();
  for (const Attribute& each : list->items()) {
    if (!wanted(each)) continue;
    json.begin_object();
    attribute(json, each);
    json.end_object();
  }
  json.end_array();
}

// All but its attributes.
template <class Writer>
void object(Writer& json, const Frame& frame, const Region& region, bool add_bounding_box) {
  const Box& box = region.box;
  if (frame.video) {
    json.field("x", to_pixels(box.x, frame.video->width));
    json.field("y", to_pixels(box.y, frame.video->height));
    json.field("w", to_pixels(box.w, frame.video->width));
    json.field("h", to_pixels(box.h, frame.video->height));
  }
  if (region.id >= 0) json.field("region_id", region.id);
  if (region.parent >= 0) json.field("parent_id", region.parent);
  if (region.track != 0) json.field("id", region.track);
  if (!region.label.empty()) json.field("roi_type", region.label.view());
  json.key("detection");
  json.begin_object();
  if (add_bounding_box) {
    json.key("bounding_box");
    json.begin_object();
    json.field("x_min", box.x);
    json.field("y_min", box.y);
    json.field("x_max", box.right());
    json.field("y_max", box.bottom());
    json.end_object();
  }
  json.field("confidence", region.confidence);
  if (region.label_id >= 0) json.field("label_id", region.label_id);
  if (!region.label.empty()) json.field("label", region.label.view());
  json.end_object();
  if (region.angle != 0) json.field("angle", region.angle);
}

template <class Writer>
void identity(Writer& json, const FrameIdentity& of) {
  json.field("uuid", of.uuid);
  json.field("source_id", of.source_id);
  json.field("epoch", of.epoch);
  json.field("seq", of.seq);
  if (of.pts != no_time) json.field("pts", of.pts);
}

template <class Writer>
void schema(Writer& json) {
  json.field("schema", "sightglass.frame/1");
}

template <class Writer>
void resolution(Writer& json, const Frame& frame) {
  if (!frame.video) return;
  json.key("resolution");
  json.begin_object();
  json.field("width", frame.video->width);
  json.field("height", frame.video->height);
  json.end_object();
}

}  // namespace sightglass::fields
