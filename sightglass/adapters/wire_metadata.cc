#include "sightglass/adapters/wire_metadata.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>

#include "sightglass/core/find_label.h"
#include "sightglass/elements/selection/track_state.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass::adapters {
namespace {

constexpr size_t most_labels = 16'384;
constexpr size_t most_strange = 1024;  // remembered by a thread, of those beyond
constexpr size_t most_tensor_bytes = size_t(4) << 20;
constexpr size_t most_mask_runs = 65'536;

struct DtypeName {
  DataType type;
  std::string_view name;
};
constexpr std::array dtype_names = {
    DtypeName{DataType::u8, "u8"},       DtypeName{DataType::i8, "i8"},   DtypeName{DataType::u16, "u16"},
    DtypeName{DataType::i16, "i16"},     DtypeName{DataType::i32, "i32"}, DtypeName{DataType::u32, "u32"},
    DtypeName{DataType::i64, "i64"},     DtypeName{DataType::u64, "u64"}, DtypeName{DataType::f16, "f16"},
    DtypeName{DataType::bf16, "bf16"},   DtypeName{DataType::f32, "f32"}, DtypeName{DataType::f64, "f64"},
    DtypeName{DataType::boolean, "bool"}};

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

stream::AttributeValue& add_value(stream::Attribute& to) { return to.values.emplace_back(); }

void add_text(stream::Attribute& to, std::string_view text, float confidence) {
  stream::AttributeValue& value = add_value(to);
  if (confidence > 0) value.confidence = confidence;
  value.value = std::string(text);
}

stream::Box wire_box(const Box& box, float angle, int width, int height) {
  stream::Box to;
  to.width = box.w * float(width), to.height = box.h * float(height);
  to.xc = (box.x + box.w / 2) * float(width), to.yc = (box.y + box.h / 2) * float(height);
  if (angle != 0) to.angle = angle;
  return to;
}

Box core_box(const stream::Box& from, int width, int height) {
  const float w = from.width / float(width), h = from.height / float(height);
  return {from.xc / float(width) - w / 2, from.yc / float(height) - h / 2, w, h};
}

stream::Points wire_points(std::span<const float> values, size_t per_point, int width, int height) {
  stream::Points points;
  points.points.reserve(values.size() / per_point);
  for (; values.size() >= per_point; values = values.subspan(per_point)) {
    stream::Point& point = points.points.emplace_back();
    // Points that were not found are -1 in both forms.
    const bool found = values[0] >= 0 || values[1] >= 0;
    point.x = found ? values[0] * float(width) : -1;
    point.y = found ? values[1] * float(height) : -1;
  }
  return points;
}

bool add_tensor(stream::Attribute& to, const Tensor& tensor) {
  const TensorInfo info{.type = tensor.type, .shape = tensor.shape};
  if (!tensor || info.bytes() > most_tensor_bytes || !tensor.dense()) return false;
  const auto mapping = map(tensor, Access::read);
  if (!mapping) return false;
  stream::Tensor wire;
  const auto* name = std::ranges::find(dtype_names, tensor.type, &DtypeName::type);
  wire.dtype = name->name;
  wire.shape.assign(tensor.shape.begin(), tensor.shape.end());
  const auto* bytes = reinterpret_cast<const uint8_t*>(mapping->data());
  wire.data.assign(bytes, bytes + info.bytes());
  add_value(to).value = std::move(wire);
  return true;
}

bool add_floats(stream::Attribute& to, std::span<const float> values) {
  if (values.size_bytes() > most_tensor_bytes) return false;
  stream::Tensor wire;
  wire.dtype = "f32";
  wire.shape = {int64_t(values.size())};
  wire.data.resize(values.size_bytes());
  if (!values.empty()) std::memcpy(wire.data.data(), values.data(), values.size_bytes());
  add_value(to).value = std::move(wire);
  return true;
}

// Runs by rows of what scores at least a half: outside, inside, outside, …
bool add_mask(stream::Attribute& to, const Tensor& tensor) {
  if (!tensor || tensor.type != DataType::f32 || tensor.shape.rank() != 2 || !tensor.dense()) return false;
  const auto mapping = map(tensor, Access::read);
  if (!mapping) return false;
  stream::Mask mask;
  mask.height = int32_t(tensor.shape[0]), mask.width = int32_t(tensor.shape[1]);
  bool inside = false;
  int32_t run = 0;
  for (const float score : mapping->as<const float>()) {
    if ((score >= 0.5f) != inside) {
      mask.rle.push_back(run);
      inside = !inside, run = 0;
    }
    ++run;
  }
  mask.rle.push_back(run);
  if (mask.rle.size() > most_mask_runs) return false;
  add_value(to).value = std::move(mask);
  return true;
}

void add_covered(stream::Attribute& to, const std::vector<float>& values, int width, int height) {
  if (values.size() == 4)
    add_value(to).value = wire_box({values[0], values[1], values[2], values[3]}, 0, width, height);
}

stream::TrackState wire_state(TrackState state) {
  switch (state) {
    case TrackState::none:
      return stream::TrackState::none;
    case TrackState::tentative:
      return stream::TrackState::tentative;
    case TrackState::confirmed:
      return stream::TrackState::confirmed;
    case TrackState::lost:
      return stream::TrackState::lost;
  }
  return stream::TrackState::none;
}

constexpr std::string_view draw_model = "draw", draw_label_name = "label";

bool is_draw_label(const Attribute& attribute) {
  return attribute.model.view() == draw_model && attribute.name.view() == draw_label_name;
}

Attribute text_attribute(std::string_view model, std::string_view name, std::string_view text) {
  return {.name = wire_label(name),
          .kind = AttributeKind::text,
          .text = std::string(text),
          .model = wire_label(model)};
}

// --- from the wire
// --------------------------------------------------------------------------------------------

template <class T>
const T* value_of(const stream::Attribute& from, size_t index) {
  return index < from.values.size() ? std::get_if<T>(&from.values[index].value) : nullptr;
}

float confidence_of(const stream::Attribute& from) { return from.values[0].confidence.value_or(0); }

std::optional<Tensor> core_tensor(const stream::Tensor& from) {
  const auto* name = std::ranges::find(dtype_names, from.dtype, &DtypeName::name);
  if (name == dtype_names.end() || from.shape.size() > Shape::max_rank) return {};
  TensorInfo info{.type = name->type, .shape = Shape(from.shape)};
  if (!info.shape.fixed() || info.bytes() != from.data.size()) return {};
  auto tensor = allocate_tensor(info);
  if (!tensor) return {};
  const auto mapping = map(*tensor, Access::write);
  if (!mapping) return {};
  if (!from.data.empty()) std::memcpy(mapping->data(), from.data.data(), from.data.size());
  return std::move(*tensor);
}

std::optional<std::vector<float>> floats_of(const stream::Tensor& from) {
  if (from.dtype != "f32" || from.data.size() % sizeof(float) != 0) return {};
  std::vector<float> values(from.data.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), from.data.data(), from.data.size());
  return values;
}

std::optional<Tensor> core_mask(const stream::Mask& from) {
  if (from.width < 1 || from.height < 1 || int64_t(from.width) * from.height > 1 << 24) return {};
  int64_t covered = 0;
  for (const int32_t run : from.rle) covered += std::max(run, 0);
  if (covered != int64_t(from.width) * from.height) return {};
  auto tensor = allocate_tensor({.type = DataType::f32, .shape = {from.height, from.width}});
  if (!tensor) return {};
  const auto mapping = map(*tensor, Access::write);
  if (!mapping) return {};
  std::span<float> cells = mapping->as<float>();
  bool inside = false;
  for (const int32_t run : from.rle) {
    if (run < 0 || size_t(run) > cells.size()) return {};
    std::ranges::fill(cells.first(size_t(run)), inside ? 1.0f : 0.0f);
    cells = cells.subspan(size_t(run));
    inside = !inside;
  }
  if (!cells.empty()) return {};
  return std::move(*tensor);
}

void read_points(const stream::Points& from, int width, int height, const stream::Doubles* scores,
                 bool with_scores, std::vector<float>& values) {
  for (size_t i = 0; i < from.points.size(); ++i) {
    const stream::Point& point = from.points[i];
    const bool found = point.x != -1 || point.y != -1;
    values.push_back(found ? point.x / float(width) : -1);
    values.push_back(found ? point.y / float(height) : -1);
    if (with_scores) values.push_back(scores && i < scores->doubles.size() ? float(scores->doubles[i]) : 0);
  }
}

std::string joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : ", ") + text;
  return all;
}

// What others have written, by the type of the first value.
bool read_foreign(const stream::Attribute& from, int width, int height, Attribute& to) {
  const auto number = [&](double value) {
    to.kind = AttributeKind::number;
    to.number = value;
    return true;
  };
  const auto text = [&](std::string value) {
    to.kind = from.values[0].confidence ? AttributeKind::classification : AttributeKind::text;
    to.text = std::move(value);
    return true;
  };
  const auto numbers = [&](const auto& values) {
    to.kind = AttributeKind::vector;
    to.values.assign(values.begin(), values.end());
    return true;
  };
  if (const auto* flag = value_of<bool>(from, 0)) return number(*flag);
  if (const auto* whole = value_of<int64_t>(from, 0)) return number(double(*whole));
  if (const auto* real = value_of<double>(from, 0)) return number(*real);
  if (const auto* word = value_of<std::string>(from, 0)) return text(*word);
  if (const auto* words = value_of<stream::Strings>(from, 0)) return text(joined(words->strings));
  if (const auto* flags = value_of<stream::Booleans>(from, 0)) return numbers(flags->booleans);
  if (const auto* wholes = value_of<stream::Longs>(from, 0)) return numbers(wholes->longs);
  if (const auto* reals = value_of<stream::Doubles>(from, 0)) return numbers(reals->doubles);
  if (const auto* crossing = value_of<stream::Crossing>(from, 0))
    return text(crossing->line + " " + crossing->direction);
  if (const auto* box = value_of<stream::Box>(from, 0)) {
    const Box part = core_box(*box, width, height);
    to.kind = AttributeKind::box;
    to.values = {part.x, part.y, part.w, part.h};
    return true;
  }
  const auto* polygons = value_of<stream::Polygons>(from, 0);
  const auto* points =
      polygons && !polygons->polygons.empty() ? &polygons->polygons[0] : value_of<stream::Points>(from, 0);
  if (points) {
    to.kind = AttributeKind::contour;
    read_points(*points, width, height, nullptr, false, to.values);
    return true;
  }
  if (const auto* tensor = value_of<stream::Tensor>(from, 0)) {
    auto read = core_tensor(*tensor);
    if (!read) return false;
    to.kind = AttributeKind::tensor;
    to.tensor = std::move(*read);
    return true;
  }
  if (const auto* mask = value_of<stream::Mask>(from, 0)) {
    auto read = core_mask(*mask);
    if (!read) return false;
    to.kind = AttributeKind::mask;
    to.tensor = std::move(*read);
    return true;
  }
  return false;
}

// What a to_wire() has written; false: not in the form that the hint promises.
bool read_ours(std::string_view hint, const stream::Attribute& from, int width, int height, Attribute& to) {
  const auto* text = value_of<std::string>(from, 0);
  const auto* tensor = value_of<stream::Tensor>(from, 0);
  const auto* points = value_of<stream::Points>(from, 0);
  if ((hint == "class" || hint == "multi") && text) {
    to.kind = hint == "class" ? AttributeKind::classification : AttributeKind::multi;
    to.text = *text;
    to.confidence = confidence_of(from);
    if (const auto* id = value_of<int64_t>(from, 1))
      to.label_id = int32_t(std::clamp<int64_t>(*id, -1, INT32_MAX));
    if (const auto* scores = value_of<stream::Doubles>(from, 2))
      to.values.assign(scores->doubles.begin(), scores->doubles.end());
    return true;
  }
  if (hint == "number") {
    const auto* number = value_of<double>(from, 0);
    if (!number) return false;
    to.kind = AttributeKind::number;
    to.number = *number;
    if (const auto* label = value_of<std::string>(from, 1)) to.text = *label;
    return true;
  }
  if (hint == "vector" && tensor) {
    auto values = floats_of(*tensor);
    if (!values) return false;
    to.kind = AttributeKind::vector;
    to.values = std::move(*values);
    return true;
  }
  if (hint == "tensor" && tensor) {
    if (const auto* format = value_of<std::string>(from, 1)) to.text = *format;
    return read_foreign(from, width, height, to);
  }
  if (hint == "keypoints" && points) {
    to.kind = AttributeKind::keypoints;
    read_points(*points, width, height, value_of<stream::Doubles>(from, 1), true, to.values);
    return true;
  }
  if (hint == "mask") {
    if (!read_foreign(from, width, height, to)) return false;
    to.kind = AttributeKind::mask;
    if (const auto* part = value_of<stream::Box>(from, 1)) {
      const Box box = core_box(*part, width, height);
      to.values = {box.x, box.y, box.w, box.h};
    }
    return true;
  }
  return false;
}

}  // namespace

bool is_reserved(const Attribute& attribute) {
  static constexpr std::array<std::string_view, 4> models = {"tag", "stream", track_model, draw_model};
  return std::ranges::contains(models, attribute.model.view());
}

Label wire_label(std::string_view text) {
  if (text.empty()) return {};
  // Each thread has its own way in; the count is everybody's.
  static std::mutex mutex;
  static size_t count = 0;
  static const Label other("other");
  using Known = std::unordered_map<std::string, Label, TextHash, std::equal_to<>>;
  thread_local Known known, strange;
  if (const auto found = known.find(text); found != known.end()) return found->second;
  if (const auto found = strange.find(text); found != strange.end()) return found->second;
  Label label = find_label(text);
  if (label.empty()) {
    const std::lock_guard lock(mutex);
    if (count >= most_labels) {
      // Looked up again now and then: the module may use it by then.
      if (strange.size() >= most_strange) strange.clear();
      strange.emplace(std::string(text), other);
      return other;
    }
    ++count;
    label = Label(text);
  }
  if (known.size() >= 2 * most_labels) known.clear();
  known.emplace(std::string(text), label);
  return label;
}

std::optional<Attribute> to_attribute(const stream::Attribute& from, int width, int height) {
  if (from.values.empty() || width < 1 || height < 1) return {};
  Attribute to;
  to.name = wire_label(from.name);
  to.model = wire_label(from.namespace_);
  to.confidence = confidence_of(from);
  if (from.hint && read_ours(*from.hint, from, width, height, to)) return to;
  to.values.clear();
  if (!read_foreign(from, width, height, to)) return {};
  return to;
}

bool to_wire(const Attribute& from, int width, int height, stream::Attribute& to) {
  to.namespace_ = from.model.view();
  to.name = from.name.view();
  to.hint = to_string(from.kind);
  to.values.clear();
  to.persistent = true, to.hidden = false;
  switch (from.kind) {
    case AttributeKind::classification:
    case AttributeKind::multi:
      add_text(to, from.text, from.confidence);
      if (from.label_id >= 0 || !from.values.empty()) add_value(to).value = int64_t(from.label_id);
      if (!from.values.empty())
        add_value(to).value = stream::Doubles{{from.values.begin(), from.values.end()}};
      return true;
    case AttributeKind::text:
      add_text(to, from.text, from.confidence);
      return true;
    case AttributeKind::number:
      add_value(to).value = from.number;
      if (from.confidence > 0) to.values[0].confidence = from.confidence;
      if (!from.text.empty()) add_text(to, from.text, 0);
      return std::isfinite(from.number);
    case AttributeKind::vector:
      return add_floats(to, from.values);
    case AttributeKind::tensor:
      if (!add_tensor(to, from.tensor)) return false;
      if (!from.text.empty()) add_text(to, from.text, 0);
      return true;
    case AttributeKind::keypoints: {
      add_value(to).value = wire_points(from.values, 3, width, height);
      stream::Doubles scores;
      for (size_t i = 2; i < from.values.size(); i += 3) scores.doubles.push_back(from.values[i]);
      add_value(to).value = std::move(scores);
      return true;
    }
    case AttributeKind::contour:
      add_value(to).value = wire_points(from.values, 2, width, height);
      return true;
    case AttributeKind::box:
      add_covered(to, from.values, width, height);
      return !to.values.empty();
    case AttributeKind::mask:
      if (!(from.tensor.type == DataType::f32 ? add_mask(to, from.tensor) : add_tensor(to, from.tensor)))
        return false;
      add_covered(to, from.values, width, height);
      return true;
  }
  return false;
}

Region to_region(const stream::Object& from, int width, int height) {
  Region to;
  to.id = from.id >= 0 && from.id <= INT32_MAX ? int32_t(from.id) : -1;
  if (from.parent_id && *from.parent_id >= 0 && *from.parent_id <= INT32_MAX)
    to.parent = int32_t(*from.parent_id);
  to.box = core_box(from.detection_box, width, height);
  to.angle = from.detection_box.angle.value_or(0);
  to.confidence = from.confidence.value_or(0);
  to.label = wire_label(from.label);
  to.model = wire_label(from.namespace_);
  to.track = from.track_id.value_or(0);
  std::vector<Attribute> attributes;
  for (const stream::Attribute& attribute : from.attributes)
    if (auto read = to_attribute(attribute, width, height)) attributes.push_back(std::move(*read));
  if (from.track_state == stream::TrackState::tentative || from.track_state == stream::TrackState::lost)
    attributes.push_back(text_attribute(
        track_model, track_state_name,
        to_string(from.track_state == stream::TrackState::lost ? TrackState::lost : TrackState::tentative)));
  if (from.draw_label) attributes.push_back(text_attribute(draw_model, draw_label_name, *from.draw_label));
  if (!attributes.empty()) to.attributes = make_ref<const AttributeList>(std::move(attributes));
  return to;
}

void to_wire(const Region& from, int width, int height, stream::Object& to, uint64_t& left_out) {
  to.id = from.id;
  to.parent_id.reset();
  if (from.parent >= 0) to.parent_id = from.parent;
  to.namespace_ = from.model.view();
  to.label = from.label.view();
  to.confidence = from.confidence;
  to.detection_box = wire_box(from.box, from.angle, width, height);
  to.track_id.reset();
  if (from.track != 0) to.track_id = from.track;
  to.track_state = wire_state(track_state(from));
  to.draw_label.reset();
  // Attributes that are there are written over: what they have allocated is used again.
  size_t count = 0;
  if (from.attributes)
    for (const Attribute& attribute : from.attributes->items()) {
      if (attribute.model.view() == track_model) continue;
      if (is_draw_label(attribute)) {
        to.draw_label = attribute.text;
        continue;
      }
      if (count == to.attributes.size()) to.attributes.emplace_back();
      if (to_wire(attribute, width, height, to.attributes[count]))
        ++count;
      else
        ++left_out;
    }
  to.attributes.resize(count);
}

}  // namespace sightglass::adapters
