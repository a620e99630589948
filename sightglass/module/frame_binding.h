// A property that follows an attribute of the frame: a sensor's reading that travels with a frame tunes the
// processing of that very frame.
//
//   threshold: {from: sensor.lux, map: [[0, 0.3], [100, 0.6]], default: 0.5}
//
//   auto binding = FrameBinding::parse(value, {.min = 0, .max = 1});
//   const auto [threshold, is_default] = binding->evaluate(frame);
//
// `map` is piecewise linear with rising inputs, flat beyond its ends; without it the reading is the value. A
// reading that is absent, no number, not finite, or without a map out of range gives the default, which the
// caller counts. Immutable; evaluate() from any thread, without allocation.
#pragma once

#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"
#include "sightglass/module/value.h"

namespace sightglass::module {

class FrameBinding {
 public:
  // What the property takes.
  struct Range {
    double min = std::numeric_limits<double>::lowest(), max = std::numeric_limits<double>::max();
    bool whole = false;
  };
  struct Reading {
    double value;
    bool is_default;
  };

  static constexpr size_t max_points = 256;

  // Whether a value is meant as a binding: a map with the key `from`.
  static bool is_binding(const Value& value) { return value.find("from") != nullptr; }
  // Errors begin with the key that they are about: "map: …".
  static Result<FrameBinding> parse(const Value& value, const Range& range);

  Reading evaluate(const Frame& frame) const;
  Reading evaluate(double reading) const;

  const std::string& model() const { return model_; }  // namespace and name of the attribute
  const std::string& name() const { return name_; }
  double default_value() const { return default_; }

 private:
  std::string model_, name_;
  std::vector<std::pair<double, double>> points_;
  double default_ = 0;
  Range range_;
};

}  // namespace sightglass::module
