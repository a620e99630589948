#include "sightglass/adapters/sources/sidecar.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <utility>
#include <nlohmann/json.hpp>

namespace sightglass::adapters {
namespace {

using Json = nlohmann::json;
constexpr size_t most_line = size_t(8) << 20;

// What a line says wrongly; caught where it is read.
struct BadLine {
  std::string message;
};

stream::Value value_of(const Json& json) {
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_integer()) return json.get<int64_t>();
  if (json.is_number()) return json.get<double>();
  if (json.is_string()) return json.get<std::string>();
  if (!json.is_array()) throw BadLine("a value is a number, text, true, false or a list of these");
  if (std::ranges::all_of(json, [](const Json& each) { return each.is_number(); }))
    return stream::Doubles{json.get<std::vector<double>>()};
  if (std::ranges::all_of(json, [](const Json& each) { return each.is_string(); }))
    return stream::Strings{json.get<std::vector<std::string>>()};
  throw BadLine("a list holds numbers only, or text only");
}

std::string text_of(const Json& json, const char* key, std::string otherwise) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return otherwise;
  if (!found->is_string()) throw BadLine(std::string(key) + " is text");
  return found->get<std::string>();
}

float number_of(const Json& json, const char* what) {
  if (!json.is_number() || !std::isfinite(json.get<float>()))
    throw BadLine(std::string(what) + " is a number");
  return json.get<float>();
}

// "sensor.lux" or, without a namespace, "gate".
stream::Attribute named(std::string_view name, const Json& value) {
  stream::Attribute attribute;
  const size_t dot = name.find('.');
  attribute.namespace_ = dot == name.npos ? "metadata" : name.substr(0, dot);
  attribute.name = dot == name.npos ? name : name.substr(dot + 1);
  if (attribute.namespace_.empty() || attribute.name.empty())
    throw BadLine("an attribute is called NAME or NAMESPACE.NAME");
  attribute.values.push_back({.value = value_of(value)});
  return attribute;
}

// One of a list, as records have them; what a line cannot bring back (masks, contours) is left out.
std::optional<stream::Attribute> listed(const Json& json) {
  if (!json.is_object()) throw BadLine("attributes are a map, or a list of objects with name and value");
  const std::string kind = text_of(json, "kind", "");
  if (kind == "mask" || kind == "contour" || kind == "keypoints" || kind == "box") return std::nullopt;
  stream::Attribute attribute;
  attribute.namespace_ = text_of(json, "namespace", text_of(json, "model", "metadata"));
  attribute.name = text_of(json, "name", "");
  if (attribute.name.empty()) throw BadLine("an attribute has no name");
  stream::AttributeValue first;
  if (const auto found = json.find("confidence"); found != json.end() && found->is_number())
    first.confidence = found->get<float>();
  if (kind == "class") {
    first.value = text_of(json, "label", "");
    attribute.hint = kind;
    attribute.values.push_back(std::move(first));
    if (const auto id = json.find("label_id"); id != json.end() && id->is_number_integer())
      attribute.values.push_back({.value = id->get<int64_t>()});
    return attribute;
  }
  const auto value = json.find("value");
  if (value == json.end() && !json.contains("label")) return std::nullopt;
  first.value = value == json.end() ? stream::Value(text_of(json, "label", "")) : value_of(*value);
  attribute.values.push_back(std::move(first));
  return attribute;
}

std::vector<stream::Attribute> attributes_of(const Json& json) {
  std::vector<stream::Attribute> attributes;
  const auto found = json.find("attributes");
  if (found == json.end() || found->is_null()) return attributes;
  if (found->is_object()) {
    for (const auto& [name, value] : found->items()) attributes.push_back(named(name, value));
  } else if (found->is_array()) {
    for (const Json& each : *found)
      if (auto attribute = listed(each)) attributes.push_back(std::move(*attribute));
  } else {
    throw BadLine("attributes are a map or a list");
  }
  return attributes;
}

stream::Box box_of(const Json& json) {
  float left = 0, top = 0, width = 0, height = 0;
  if (const auto box = json.find("box"); box != json.end()) {
    if (!box->is_array() || box->size() != 4) throw BadLine("a box is [left, top, width, height]");
    left = number_of((*box)[0], "box"), top = number_of((*box)[1], "box");
    width = number_of((*box)[2], "box"), height = number_of((*box)[3], "box");
  } else if (json.contains("x") && json.contains("y") && json.contains("w") && json.contains("h")) {
    left = number_of(json["x"], "x"), top = number_of(json["y"], "y");
    width = number_of(json["w"], "w"), height = number_of(json["h"], "h");
  } else {
    throw BadLine("an object needs a box");
  }
  if (width < 0 || height < 0) throw BadLine("a box has a negative size");
  stream::Box made{.xc = left + width / 2, .yc = top + height / 2, .width = width, .height = height};
  if (const auto angle = json.find("angle"); angle != json.end()) made.angle = number_of(*angle, "angle");
  return made;
}

stream::Object object_of(const Json& json, int64_t id) {
  if (!json.is_object()) throw BadLine("objects are a list of JSON objects");
  stream::Object object;
  object.id = id;
  object.detection_box = box_of(json);
  const auto detection = json.find("detection");
  const Json& said = detection != json.end() && detection->is_object() ? *detection : json;
  object.namespace_ = text_of(json, "namespace", text_of(said, "model", "metadata"));
  object.label = text_of(said, "label", text_of(json, "roi_type", ""));
  if (const auto found = said.find("confidence"); found != said.end() && !found->is_null())
    object.confidence = number_of(*found, "confidence");
  if (const auto track = json.find("id"); track != json.end()) {
    if (!track->is_number_integer()) throw BadLine("id is a whole number");
    object.track_id = track->get<int64_t>();
    object.track_box = object.detection_box;
    object.track_state = stream::TrackState::confirmed;
  }
  object.attributes = attributes_of(json);
  return object;
}

SideData data_of(const Json& json) {
  SideData data;
  data.attributes = attributes_of(json);
  if (const auto objects = json.find("objects"); objects != json.end()) {
    if (!objects->is_array()) throw BadLine("objects are a list");
    for (const Json& each : *objects) data.objects.push_back(object_of(each, int64_t(data.objects.size())));
  }
  if (const auto tags = json.find("tags"); tags != json.end()) {
    if (!tags->is_array()) throw BadLine("tags are a list of text");
    for (const Json& tag : *tags) {
      if (!tag.is_string()) throw BadLine("tags are a list of text");
      data.tags.push_back(tag.get<std::string>());
    }
  }
  return data;
}

void merge(SideData& into, SideData more) {
  for (stream::Object& object : more.objects) object.id += int64_t(into.objects.size());
  std::ranges::move(more.attributes, std::back_inserter(into.attributes));
  std::ranges::move(more.objects, std::back_inserter(into.objects));
  std::ranges::move(more.tags, std::back_inserter(into.tags));
}

void add(const SideData& data, stream::VideoFrame& frame) {
  frame.attributes.insert(frame.attributes.end(), data.attributes.begin(), data.attributes.end());
  const auto before = int64_t(frame.objects.size());
  for (const stream::Object& object : data.objects) frame.objects.emplace_back(object).id += before;
  frame.tags.insert(frame.tags.end(), data.tags.begin(), data.tags.end());
}

}  // namespace

Result<Sidecar> Sidecar::load(const std::string& path) {
  std::ifstream in(path);
  if (!in) return fail(ErrorCode::not_found, "metadata: {} cannot be read", path);
  Sidecar sidecar;
  std::string line;
  for (size_t number = 1; std::getline(in, line); ++number) {
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    const auto bad = [&](std::string_view reason) {
      return fail(ErrorCode::corrupt, "metadata: {}:{}: {}", path, number, reason);
    };
    if (line.size() > most_line) return bad("the line is longer than 8 MiB");
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object()) return bad("is no JSON object");
    try {
      SideData data = data_of(json);
      const auto whole = [&](const char* key) {
        if (!json[key].is_number_integer()) throw BadLine(std::string(key) + " is a whole number");
        return json[key].get<int64_t>();
      };
      if (json.contains("frame"))
        merge(sidecar.by_frame_[whole("frame")], std::move(data));
      else if (json.contains("file"))
        merge(sidecar.by_file_[text_of(json, "file", "")], std::move(data));
      else if (json.contains("pts"))
        merge(sidecar.by_pts_[whole("pts")], std::move(data));
      else
        return bad("says neither frame, pts nor file");
    } catch (const BadLine& wrong) {
      return bad(wrong.message);
    }
  }
  if (in.bad()) return fail(ErrorCode::io, "metadata: {} cannot be read to its end", path);
  return sidecar;
}

void Sidecar::add_to(stream::VideoFrame& frame, int64_t number, Time pts, Time tolerance,
                     std::string_view file) const {
  if (const auto found = by_frame_.find(number); found != by_frame_.end()) add(found->second, frame);
  if (const auto found = by_file_.find(file); found != by_file_.end()) add(found->second, frame);
  if (by_pts_.empty()) return;
  auto nearest = by_pts_.lower_bound(pts);
  const auto distance = [&](auto place) { return std::abs(place->first - pts); };
  if (nearest == by_pts_.end() ||
      (nearest != by_pts_.begin() && distance(std::prev(nearest)) < distance(nearest)))
    --nearest;
  if (distance(nearest) <= tolerance) add(nearest->second, frame);
}

}  // namespace sightglass::adapters
