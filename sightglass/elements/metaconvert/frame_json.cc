#include "sightglass/elements/metaconvert/frame_json.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <span>

#include "sightglass/core/json_writer.h"
#include "sightglass/elements/metaconvert/frame_fields.h"
#include "sightglass/memory/mapping.h"

namespace sightglass {
namespace {

// Names that an attribute cannot have as a key of its object in the original's layout.
constexpr std::string_view object_fields[] = {"x",         "y",         "w",       "h",
                                              "region_id", "parent_id", "id",      "roi_type",
                                              "detection", "angle",     "tensors", "attributes"};

bool is_raw(const Attribute& attribute) {
  return attribute.kind == AttributeKind::tensor || attribute.kind == AttributeKind::vector;
}

std::string_view precision(DataType type) {
  switch (type) {
    case DataType::u8:
      return "U8";
    case DataType::i8:
      return "I8";
    case DataType::u16:
      return "U16";
    case DataType::i16:
      return "I16";
    case DataType::i32:
      return "I32";
    case DataType::u32:
      return "U32";
    case DataType::i64:
      return "I64";
    case DataType::u64:
      return "U64";
    case DataType::f16:
      return "FP16";
    case DataType::bf16:
      return "BF16";
    case DataType::f32:
      return "FP32";
    case DataType::f64:
      return "FP64";
    case DataType::boolean:
      return "BOOL";
  }
  return "UNSPECIFIED";
}

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

float half_to_float(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const float sign = bits & 0x8000 ? -1.0f : 1.0f;
  if (exponent == 31) return fraction ? NAN : sign * INFINITY;
  return sign *
         (exponent ? std::ldexp(float(fraction + 1024), exponent - 25) : std::ldexp(float(fraction), -24));
}

void write_element(JsonWriter& json, DataType type, const std::byte* from) {
  switch (type) {
    case DataType::u8:
      return json.value(load<uint8_t>(from));
    case DataType::i8:
      return json.value(load<int8_t>(from));
    case DataType::u16:
      return json.value(load<uint16_t>(from));
    case DataType::i16:
      return json.value(load<int16_t>(from));
    case DataType::i32:
      return json.value(load<int32_t>(from));
    case DataType::u32:
      return json.value(load<uint32_t>(from));
    case DataType::i64:
      return json.value(load<int64_t>(from));
    case DataType::u64:
      return json.value(load<uint64_t>(from));
    case DataType::f16:
      return json.value(half_to_float(load<uint16_t>(from)));
    case DataType::bf16:
      return json.value(std::bit_cast<float>(uint32_t(load<uint16_t>(from)) << 16));
    case DataType::f32:
      return json.value(load<float>(from));
    case DataType::f64:
      return json.value(load<double>(from));
    case DataType::boolean:
      return json.value(load<uint8_t>(from) != 0);
  }
}

void write_elements(JsonWriter& json, const Mapping& mapping, const std::byte* from, size_t axis) {
  if (axis == mapping.shape().rank()) return write_element(json, mapping.type(), from);
  for (int64_t i = 0; i < mapping.shape()[axis]; ++i)
    write_elements(json, mapping, from + i * mapping.strides()[axis], axis + 1);
}

// The text of a number that came without one.
void write_number_as_label(JsonWriter& json, double number) {
  char digits[32];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, number);
  if (error == std::errc{} && std::isfinite(number)) json.field("label", std::string_view(digits, end));
}

void write_tensor(JsonWriter& json, const Attribute& attribute) {
  json.begin_object();
  json.field("name", attribute.name.view());
  if (!attribute.model.empty()) {
    const std::string_view name = attribute.name.view(), model = attribute.model.view();
    json.field("model_name", model);
    // Raw outputs are called "model/layer".
    if (name.size() > model.size() + 1 && name.starts_with(model) && name[model.size()] == '/')
      json.field("layer_name", name.substr(model.size() + 1));
  }
  if (attribute.kind == AttributeKind::vector) {
    json.field("precision", "FP32");
    json.key("dims");
    json.begin_array();
    json.value(attribute.values.size());
    json.end_array();
    fields::numbers(json, "data", attribute.values);
    json.end_object();
    return;
  }
  const Tensor& tensor = attribute.tensor;
  json.field("precision", precision(tensor.type));
  json.field("layout", tensor.layout == Layout::any ? std::string_view("ANY") : to_string(tensor.layout));
  json.key("dims");
  json.begin_array();
  for (const int64_t dim : tensor.shape) json.value(dim);
  json.end_array();
  if (attribute.kind == AttributeKind::mask)
    json.field("format", "segmentation_mask");
  else if (!attribute.text.empty())
    json.field("format", attribute.text);
  // A tensor of a device that is not to be had here goes without its numbers.
  if (auto mapping = map(tensor, Access::read)) {
    json.key("data");
    json.begin_array();
    write_elements(json, *mapping, mapping->data(), 0);
    json.end_array();
  }
  json.end_object();
}

void write_tensors(JsonWriter& json, const AttributesRef& list, bool vectors_too) {
  if (!list) return;
  const auto wanted = [&](const Attribute& attribute) {
    if (attribute.kind == AttributeKind::mask) return bool(attribute.tensor);
    return attribute.kind == AttributeKind::tensor ||
           (vectors_too && attribute.kind == AttributeKind::vector);
  };
  if (std::ranges::none_of(list->items(), wanted)) return;
  json.key("tensors");
  json.begin_array();
  for (const Attribute& attribute : list->items())
    if (wanted(attribute)) write_tensor(json, attribute);
  json.end_array();
}

void write_attributes(JsonWriter& json, const AttributesRef& list, const FrameJsonOptions& options) {
  if (!list) return;
  fields::attributes(json, list, [&](const Attribute& attribute) {
    return attribute.kind != AttributeKind::tensor && (options.add_tensor_data || !is_raw(attribute)) &&
           !(options.identity && fields::is_reserved(attribute));
  });
  if (options.add_tensor_data) write_tensors(json, list, false);
}

// The original's layout: {"mood":{"label":"glad",…}}.
void write_attribute_keys(JsonWriter& json, const AttributesRef& list, const FrameJsonOptions& options) {
  if (!list) return;
  const auto& items = list->items();
  for (size_t i = 0; i < items.size(); ++i) {
    const Attribute& attribute = items[i];
    const bool has_label = attribute.kind == AttributeKind::classification ||
                           attribute.kind == AttributeKind::multi || attribute.kind == AttributeKind::text ||
                           attribute.kind == AttributeKind::number;
    if (!has_label) continue;
    const auto of_same_name = [&](const Attribute& other) { return other.name == attribute.name; };
    // A key can be there once: the first model's result counts.
    if (std::any_of(items.begin(), items.begin() + i, of_same_name)) continue;
    json.key(attribute.name.view(),
             std::ranges::contains(object_fields, attribute.name.view()) ? "_attr" : "");
    json.begin_object();
    if (attribute.kind == AttributeKind::number && attribute.text.empty())
      write_number_as_label(json, attribute.number);
    else
      json.field("label", attribute.text);
    if (attribute.label_id >= 0) json.field("label_id", attribute.label_id);
    if (attribute.confidence > 0) json.field("confidence", attribute.confidence);
    if (!attribute.model.empty()) {
      json.key("model");
      json.begin_object();
      json.field("name", attribute.model.view());
      json.end_object();
    }
    json.end_object();
  }
  if (options.add_tensor_data) write_tensors(json, list, true);
}

void write_object(JsonWriter& json, const Frame& frame, const Region& region,
                  const FrameJsonOptions& options) {
  json.begin_object();
  write_object_fields(json, frame, region, options);
  json.end_object();
}

void write_frame_object(JsonWriter& json, const Frame& frame, const FrameJsonOptions& options) {
  json.begin_object();
  if (frame.video) {
    json.field("x", 0);
    json.field("y", 0);
    json.field("w", frame.video->width);
    json.field("h", frame.video->height);
  }
  write_attribute_keys(json, frame.attributes, options);
  json.end_object();
}

}  // namespace

void write_attribute_fields(JsonWriter& json, const Attribute& attribute) {
  fields::attribute(json, attribute);
}

void write_object_fields(JsonWriter& json, const Frame& frame, const Region& region,
                         const FrameJsonOptions& options) {
  fields::object(json, frame, region, options.add_bounding_box);
  if (options.layout == JsonLayout::sightglass)
    write_attributes(json, region.attributes, options);
  else
    write_attribute_keys(json, region.attributes, options);
}

void write_identity_fields(JsonWriter& json, const FrameIdentity& identity) {
  fields::identity(json, identity);
}

bool has_results(const Frame& frame, const FrameJsonOptions& options) {
  if (!frame.regions.empty()) return true;
  if (!frame.attributes) return false;
  return options.add_tensor_data ? !frame.attributes->items().empty()
                                 : !std::ranges::all_of(frame.attributes->items(), is_raw);
}

void write_frame_json(const Frame& frame, const FrameJsonOptions& options, std::string& text) {
  const bool ours = options.layout == JsonLayout::sightglass;
  JsonWriter json(text, options.indent);
  json.begin_object();
  if (ours) fields::schema(json);
  fields::resolution(json, frame);
  if (!options.source.empty()) json.field("source", options.source);
  if (!options.tags.empty()) {
    json.key("tags");
    json.raw(options.tags);
  } else if (options.identity) {
    fields::tags(json, frame);
  }
  if (frame.pts != no_time) json.field("timestamp", frame.pts);
  if (options.identity) write_identity_fields(json, *options.identity);

  const bool frame_object =
      !ours && frame.attributes &&
      (options.add_tensor_data || !std::ranges::all_of(frame.attributes->items(), is_raw));
  json.key("objects");
  json.begin_array();
  for (const Region& region : frame.regions) write_object(json, frame, region, options);
  if (frame_object) write_frame_object(json, frame, options);
  json.end_array();
  if (ours) write_attributes(json, frame.attributes, options);
  json.end_object();
}

void write_detections(const Frame& frame, std::string& text) {
  const auto number = [&](std::string_view name, float value) {
    text += name;
    char digits[64];
    const auto [end, error] =
        std::to_chars(digits, digits + sizeof digits, value, std::chars_format::fixed, 6);
    if (error == std::errc{}) text.append(digits, end);
  };
  for (const Region& region : frame.regions) {
    if (!text.empty()) text += '\n';
    text += "Detection: label: ";
    text += region.label.view();
    number(", confidence: ", region.confidence);
    number(", x_min: ", region.box.x);
    number(", y_min: ", region.box.y);
    number(", x_max: ", region.box.right());
    number(", y_max: ", region.box.bottom());
  }
}

}  // namespace sightglass
