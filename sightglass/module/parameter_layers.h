// The five layers of parameters as plain data: who says what, what is in force, what differs between two
// states. No threads, no files; parameters.h puts it to work.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sightglass/module/parameters.h"
#include "sightglass/module/spec.h"

namespace sightglass::module {

using ParameterSpecs = std::vector<std::pair<std::string, ParameterSpec>>;

// Why a value may not stand for the parameter: type, range, choices, pattern. The value is brought to its
// type (a whole number where a float is wanted).
Result<Value> check_value(std::string_view name, const ParameterSpec& spec, const Value& value);
// The value of a text as people write it into an environment variable or etcd: "0.8", "true",
// "[[0,0],[1,1]]".
Result<Value> value_of_text(std::string_view name, const ParameterSpec& spec, std::string_view text);

// Name and source id; the module's own value has an empty source id. Written NAME@SOURCE.
struct ParameterKey {
  std::string name, source_id;
  auto operator<=>(const ParameterKey&) const = default;
  std::string to_string() const { return source_id.empty() ? name : name + "@" + source_id; }
};
ParameterKey parse_key(std::string_view text);

struct ParameterLayers {
  using Values = std::map<ParameterKey, Value>;
  std::array<Values, 5> layers;  // by Layer, highest first
  Values& at(Layer layer) { return layers[size_t(layer) - 1]; }
  const Values& at(Layer layer) const { return layers[size_t(layer) - 1]; }
};

// What is in force: one immutable revision.
std::shared_ptr<const ParameterSet> effective(const ParameterLayers& layers, uint64_t revision);
std::vector<ParameterKey> keys_of(const ParameterLayers& layers);

struct Difference {
  ParameterKey key;
  Value before, after;  // null: the module's own value counts
};
std::vector<Difference> differences(const ParameterLayers& before, const ParameterLayers& after);
// "min_face@cam-1: 0.7 → 0.8"; secrets are masked.
std::string to_text(const Difference& difference, const ParameterSpecs& specs);

const ParameterSpec* find_spec(const ParameterSpecs& specs, std::string_view name);

}  // namespace sightglass::module
