#include "sightglass/module/frame_binding.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "sightglass/module/diagnostic.h"

namespace sightglass::module {
namespace {

std::string shown(const Value& value) { return value.to_json().substr(0, 60); }

Status check_output(double number, const FrameBinding::Range& range, std::string_view key) {
  if (number < range.min || number > range.max)
    return fail(ErrorCode::invalid_argument, "{}: {} is out of range ({} to {})", key, number, range.min,
                range.max);
  if (range.whole && number != std::trunc(number))
    return fail(ErrorCode::invalid_argument, "{}: expects a whole number, got {}", key, number);
  return {};
}

// What an attribute says as a number; NaN: nothing.
double reading_of(const Attribute& attribute) {
  constexpr double nothing = std::numeric_limits<double>::quiet_NaN();
  switch (attribute.kind) {
    case AttributeKind::number:
      return attribute.number;
    case AttributeKind::vector:
      return attribute.values.size() == 1 ? double(attribute.values[0]) : nothing;
    default:
      return nothing;
  }
}

}  // namespace

Result<FrameBinding> FrameBinding::parse(const Value& value, const Range& range) {
  const auto wrong = [](std::string_view message) {
    return fail(ErrorCode::invalid_argument, "{}", message);
  };
  if (!value.entries()) return wrong("expects {from, map, default}, got " + value.type_name());
  static const std::vector<std::string> known = {"from", "map", "default"};
  for (const auto& [key, content] : *value.entries()) {
    if (std::ranges::contains(known, key)) continue;
    const auto near = nearest_name(key, known);
    return wrong(key + ": there is no such key" + (near.empty() ? "" : "; did you mean '" + near + "'?"));
  }
  FrameBinding binding;
  binding.range_ = range;
  const Value* from = value.find("from");
  const std::string* text = from ? from->text() : nullptr;
  // The name may contain points, the namespace, the name of an element, none.
  const size_t point = text ? text->find('.') : std::string::npos;
  if (point == std::string::npos || point == 0 || point + 1 == text->size())
    return wrong("from: expects NAMESPACE.NAME of an attribute of the frame" +
                 (from ? ", got " + shown(*from) : std::string()));
  binding.model_ = text->substr(0, point);
  binding.name_ = text->substr(point + 1);

  const Value* fallback = value.find("default");
  if (!fallback) return wrong("default: is missing; it is used where a frame does not have the attribute");
  if (!fallback->number(binding.default_))
    return wrong("default: expects a number, got " + fallback->type_name());
  if (auto status = check_output(binding.default_, range, "default"); !status) return forward_error(status);

  if (const Value* map = value.find("map")) {
    const auto* points = map->items();
    if (!points || points->empty()) return wrong("map: expects [[input, output], …], got " + shown(*map));
    if (points->size() > max_points) return wrong("map: more than 256 points");
    for (const Value& pair : *points) {
      const auto* both = pair.items();
      double input = 0, output = 0;
      if (!both || both->size() != 2 || !(*both)[0].number(input) || !(*both)[1].number(output))
        return wrong("map: expects [input, output], got " + shown(pair));
      if (!binding.points_.empty() && input <= binding.points_.back().first)
        return wrong("map: inputs have to rise");
      if (auto status = check_output(output, range, "map"); !status) return forward_error(status);
      binding.points_.emplace_back(input, output);
    }
  }
  return binding;
}

FrameBinding::Reading FrameBinding::evaluate(double reading) const {
  if (!std::isfinite(reading)) return {default_, true};
  if (points_.empty()) {
    if (reading < range_.min || reading > range_.max) return {default_, true};
    return {range_.whole ? std::round(reading) : reading, false};
  }
  const auto above = std::ranges::upper_bound(points_, reading, {}, &std::pair<double, double>::first);
  double value = 0;
  if (above == points_.begin()) {
    value = above->second;
  } else if (above == points_.end()) {
    value = points_.back().second;
  } else {
    const auto below = above - 1;
    const double part = (reading - below->first) / (above->first - below->first);
    value = std::lerp(below->second, above->second, part);
  }
  return {range_.whole ? std::round(value) : value, false};
}

FrameBinding::Reading FrameBinding::evaluate(const Frame& frame) const {
  if (frame.attributes)
    for (const Attribute& attribute : frame.attributes->items())
      if (attribute.name.view() == name_ && attribute.model.view() == model_)
        return evaluate(reading_of(attribute));
  return {default_, true};
}

}  // namespace sightglass::module
