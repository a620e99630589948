#include "sightglass/elements/gvaattachroi/roi_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <nlohmann/json.hpp>

#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {
namespace {

using Json = nlohmann::json;

// Keys of an object that are no attribute in the original's layout.
constexpr std::string_view object_fields[] = {"x",         "y",          "w",         "h",        "region_id",
                                              "parent_id", "id",         "object_id", "angle",    "roi_type",
                                              "detection", "attributes", "tensors",   "source_id"};

const Json* member(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && found != object.end() && !found->is_null() ? &*found : nullptr;
}

struct Reader {
  const std::string& name;
  size_t record = 0;  // from 1
  size_t object = 0;  // from 1; 0: of the frame

  template <class... Args>
  std::unexpected<Error> wrong(std::format_string<Args...> format, Args&&... args) const {
    std::string place = record ? std::format(": record {}", record) : "";
    if (object) place += std::format(", object {}", object);
    return fail(ErrorCode::corrupt, "{}{}: {}", name, place,
                std::format(format, std::forward<Args>(args)...));
  }

  Result<double> number(const Json& from, const char* key) const {
    const Json* value = member(from, key);
    const bool good = value && value->is_number() && std::abs(value->get<double>()) <= 1e9;
    if (!good) return wrong("{} is {}, not a number", key, value ? value->dump() : "missing");
    return value->get<double>();
  }
  // `otherwise` where it is missing.
  template <class T>
  Result<T> number_or(const Json& from, const char* key, T otherwise) const {
    if (!member(from, key)) return otherwise;
    auto value = number(from, key);
    if (!value) return forward_error(value);
    if (std::is_unsigned_v<T> && *value < 0) return wrong("{} is {}, less than 0", key, *value);
    return T(*value);
  }
  Result<std::string> text(const Json& from, const char* key) const {
    const Json* value = member(from, key);
    if (!value) return std::string();
    if (!value->is_string()) return wrong("{} is {}, not a text", key, value->dump());
    return value->get<std::string>();
  }

  Result<Box> box(const Json& from, const std::array<const char*, 4>& keys, bool corners) const {
    std::array<double, 4> v{};
    for (size_t i = 0; i < 4; ++i) {
      auto value = number(from, keys[i]);
      if (!value) return forward_error(value);
      v[i] = *value;
    }
    if (corners) v[2] -= v[0], v[3] -= v[1];
    if (v[2] < 0 || v[3] < 0)
      return wrong("{}", corners ? "bounding_box ends before it begins" : "w and h must not be negative");
    return Box{float(v[0]), float(v[1]), float(v[2]), float(v[3])};
  }

  Result<std::vector<float>> flat_numbers(const Json& from, size_t levels = Shape::max_rank) const {
    std::vector<float> values;
    if (from.is_number()) return std::vector{float(from.get<double>())};
    if (!from.is_array()) return wrong("{} is neither a number nor a list of numbers", from.dump());
    if (levels == 0) return wrong("lists of numbers are nested too deeply");
    for (const Json& item : from) {
      auto part =
          flat_numbers(item.is_null() ? Json(0) : item, levels - 1);  // metaconvert writes NaN as null
      if (!part) return forward_error(part);
      values.insert(values.end(), part->begin(), part->end());
    }
    return values;
  }

  // Fills label, label_id, confidence, model and age.
  Status class_fields(const Json& from, Attribute& attribute) const {
    auto label = text(from, "label");
    if (!label) return forward_error(label);
    auto id = number_or(from, "label_id", -1);
    if (!id) return forward_error(id);
    auto confidence = number_or(from, "confidence", 0.0f);
    if (!confidence) return forward_error(confidence);
    auto age = number_or(from, "age", 0u);
    if (!age) return forward_error(age);
    attribute.text = std::move(*label);
    attribute.label_id = *id;
    attribute.confidence = *confidence;
    attribute.age = *age;
    const Json* model = member(from, "model");
    auto model_name = model && model->is_object() ? text(*model, "name") : text(from, "model");
    if (!model_name) return forward_error(model_name);
    attribute.model = Label(*model_name);
    return {};
  }

  Result<Attribute> attribute(const Json& from) const {
    auto kind_name = text(from, "kind");
    if (!kind_name) return forward_error(kind_name);
    auto own_name = text(from, "name");
    if (!own_name) return forward_error(own_name);
    Attribute made;
    made.name = Label(*own_name);
    bool known = false;
    for (int kind = 0; kind <= int(AttributeKind::mask) && !known; ++kind) {
      known = to_string(AttributeKind(kind)) == *kind_name;
      if (known) made.kind = AttributeKind(kind);
    }
    if (!known) return wrong("'{}' is no kind of attribute", *kind_name);
    if (auto status = class_fields(from, made); !status) return forward_error(status);
    if (made.kind == AttributeKind::number) {
      auto value = number(from, "value");
      if (!value) return forward_error(value);
      made.number = *value;
    } else if (const Json* list = member(from, member(from, "points") ? "points" : "value")) {
      auto values = flat_numbers(*list);
      if (!values) return forward_error(values);
      made.values = std::move(*values);
    }
    return made;
  }

  // An entry of `tensors`: a class where it has a label, else numbers.
  Result<Attribute> tensor(const Json& from) const {
    Attribute made;
    if (!from.is_object()) return wrong("a tensor is no object");
    for (const char* key : {"name", "attribute_name", "layer_name"}) {
      auto own_name = text(from, key);
      if (!own_name) return forward_error(own_name);
      if (made.name.empty()) made.name = Label(*own_name);
    }
    auto format = text(from, "format");
    if (!format) return forward_error(format);
    if (auto status = class_fields(from, made); !status) return forward_error(status);
    auto model = text(from, "model_name");
    if (!model) return forward_error(model);
    if (!model->empty()) made.model = Label(*model);
    made.kind = AttributeKind::classification;
    const Json* data = member(from, "data");
    if (!made.text.empty() || !data) return made;

    auto values = flat_numbers(*data);
    if (!values) return forward_error(values);
    Shape shape;
    if (const Json* dims = member(from, "dims")) {
      auto sizes = flat_numbers(*dims);
      if (!sizes) return forward_error(sizes);
      if (sizes->size() > Shape::max_rank) return wrong("a tensor has {} dimensions", sizes->size());
      for (const float size : *sizes) {
        if (!(size >= 1 && size <= 1e9f)) return wrong("{} is no size of a tensor", size);
        shape.push_back(int64_t(size));
      }
    }
    if (shape.rank() < 2) {
      made.kind = AttributeKind::vector;
      made.values = std::move(*values);
      return made;
    }
    if (std::ranges::any_of(shape, [](int64_t size) { return size < 1; }) ||
        shape.elements() != int64_t(values->size()))
      return wrong("a tensor of {} has {} numbers", shape.to_string(), values->size());
    auto memory = allocate_tensor({.type = DataType::f32, .shape = shape});
    if (!memory) return forward_error(memory);
    auto mapping = map(*memory, Access::write);
    if (!mapping) return forward_error(mapping);
    std::memcpy(mapping->data(), values->data(), values->size() * sizeof(float));
    mapping->reset();
    made.kind = AttributeKind::tensor;
    made.text = *format;
    made.tensor = std::move(*memory);
    return made;
  }

  Status attributes(const Json& from, AttributesRef& list) const {
    for (const auto& [key, read] :
         {std::pair{"attributes", &Reader::attribute}, {"tensors", &Reader::tensor}}) {
      const Json* items = member(from, key);
      if (!items) continue;
      if (!items->is_array()) return wrong("{} is no list", key);
      for (const Json& item : *items) {
        auto made = (this->*read)(item);
        if (!made) return forward_error(made);
        list = with(list, std::move(*made));
      }
    }
    return {};
  }

  Status region(const Json& from, const Box* scale, RoiRecord& into) const {
    if (!from.is_object()) return wrong("{} is no object", from.dump());
    Region made{.confidence = 1};
    auto label = text(from, "roi_type");
    if (!label) return forward_error(label);
    const Json* detection = member(from, "detection");
    const Json* corners = detection ? member(*detection, "bounding_box") : nullptr;
    if (detection) {
      auto own_label = text(*detection, "label");
      if (!own_label) return forward_error(own_label);
      if (!own_label->empty()) label = std::move(own_label);
      auto confidence = number_or(*detection, "confidence", 1.0f);
      if (!confidence) return forward_error(confidence);
      made.confidence = *confidence;
      auto label_id = number_or(*detection, "label_id", -1);
      if (!label_id) return forward_error(label_id);
      made.label_id = *label_id;
    }
    made.label = Label(*label);
    auto place = corners ? box(*corners, {"x_min", "y_min", "x_max", "y_max"}, true)
                         : box(from, {"x", "y", "w", "h"}, false);
    if (!place) return forward_error(place);
    made.box = *place;
    if (!corners && scale)
      made.box = {made.box.x / scale->w, made.box.y / scale->h, made.box.w / scale->w, made.box.h / scale->h};
    else if (!corners)
      into.pixels.push_back(into.regions.size());
    auto angle = number_or(from, "angle", 0.0f);
    if (!angle) return forward_error(angle);
    made.angle = *angle;
    auto track = number_or(from, member(from, "id") ? "id" : "object_id", int64_t(0));
    if (!track) return forward_error(track);
    made.track = *track;
    if (auto status = attributes(from, made.attributes); !status) return status;
    for (const auto& [key, value] : from.items()) {
      if (std::ranges::contains(object_fields, std::string_view(key)) || !member(value, "label")) continue;
      Attribute attribute{.name = Label(key), .kind = AttributeKind::classification};
      if (auto status = class_fields(value, attribute); !status) return status;
      made.attributes = with(made.attributes, std::move(attribute));
    }
    into.regions.push_back(std::move(made));
    return {};
  }

  Result<RoiRecord> read(const Json& from) {
    object = 0;
    if (!from.is_object()) return wrong("{} is no object with objects", from.dump().substr(0, 40));
    RoiRecord made;
    auto time = number_or_time(from);
    if (!time) return forward_error(time);
    made.time = *time;
    Box scale;
    const Json* resolution = member(from, "resolution");
    if (resolution) {
      auto w = number(*resolution, "width"), h = number(*resolution, "height");
      if (!w) return forward_error(w);
      if (!h) return forward_error(h);
      if (*w < 1 || *h < 1) return wrong("the resolution is {} x {}", *w, *h);
      scale.w = float(*w), scale.h = float(*h);
    }
    if (auto status = attributes(from, made.attributes); !status) return forward_error(status);
    const Json* objects = member(from, "objects");
    if (!objects) return made;
    if (!objects->is_array()) return wrong("objects is no list");
    for (const Json& item : *objects) {
      ++object;
      if (auto status = region(item, resolution ? &scale : nullptr, made); !status)
        return forward_error(status);
    }
    return made;
  }

  // Nanoseconds need more digits than a number that passes for a length.
  Result<Time> number_or_time(const Json& from) const {
    const Json* value = member(from, "timestamp");
    if (!value) return no_time;
    if (!value->is_number_integer() || value->get<double>() < 0)
      return wrong("timestamp is {}, not a number of nanoseconds", value->dump());
    return value->get<Time>();
  }
};

size_t line_at(const std::string& text, size_t byte) {
  return 1 + size_t(std::count(text.begin(), text.begin() + ptrdiff_t(std::min(byte, text.size())), '\n'));
}

}  // namespace

Result<std::vector<RoiRecord>> parse_rois(const std::string& text, const std::string& name) {
  Reader reader{name};
  std::vector<RoiRecord> records;
  const auto add = [&](const Json& json) -> Status {
    ++reader.record;
    auto record = reader.read(json);
    if (!record) return forward_error(record);
    records.push_back(std::move(*record));
    return {};
  };
  std::istringstream stream(text);
  size_t before = 0;
  while (stream >> std::ws, stream.peek() != std::istringstream::traits_type::eof()) {
    before = size_t(stream.tellg());
    Json json;
    try {
      stream >> json;
    } catch (const Json::exception& error) {
      const auto* at = dynamic_cast<const Json::parse_error*>(&error);
      return fail(ErrorCode::corrupt, "{}: line {}: this is no JSON", name,
                  line_at(text, before + (at && at->byte > 0 ? at->byte - 1 : 0)));
    }
    if (!json.is_array()) {
      if (auto status = add(json); !status) return forward_error(status);
      continue;
    }
    for (const Json& item : json)
      if (auto status = add(item); !status) return forward_error(status);
  }
  if (records.empty()) return fail(ErrorCode::corrupt, "{}: there is no record in it", name);
  return records;
}

Result<std::vector<RoiRecord>> read_roi_file(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error))
    return fail(ErrorCode::not_found, "file-path={}: there is no such file", path);
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!(text << file.rdbuf()) && std::filesystem::file_size(path, error) > 0)
    return fail(ErrorCode::io, "file-path={}: the file cannot be read", path);
  return parse_rois(text.str(), path);
}

}  // namespace sightglass
