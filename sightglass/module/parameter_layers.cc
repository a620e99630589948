#include "sightglass/module/parameter_layers.h"

#include <algorithm>
#include <cmath>
#include <regex>
#include <set>

#include "sightglass/module/yaml_reader.h"

namespace sightglass::module {
namespace {

constexpr size_t most_matched = 4096;  // bytes of a text that a pattern is tried on

std::string_view expectation(ParameterType type) {
  switch (type) {
    case ParameterType::boolean:
      return "true or false";
    case ParameterType::integer:
      return "a whole number";
    case ParameterType::number:
      return "a number";
    case ParameterType::text:
      return "a text";
    case ParameterType::line:
      return "a line: two or more points [x, y]";
    case ParameterType::polygon:
      return "a polygon: three or more points [x, y]";
  }
  return "?";
}

bool is_point(const Value& value) {
  double number = 0;
  return value.items() && value.items()->size() == 2 &&
         std::ranges::all_of(*value.items(),
                             [&](const Value& v) { return v.number(number) && std::isfinite(number); });
}

bool is_points(const Value& value, size_t least) {
  return value.items() && value.items()->size() >= least && value.items()->size() <= 1024 &&
         std::ranges::all_of(*value.items(), is_point);
}

bool has_type(ParameterType type, Value& value) {
  double number = 0;
  switch (type) {
    case ParameterType::boolean:
      return value.boolean();
    case ParameterType::integer:
      return value.integer();
    case ParameterType::number:
      if (!value.number(number) || !std::isfinite(number)) return false;
      value = Value(number);
      return true;
    case ParameterType::text:
      return value.text();
    case ParameterType::line:
      return is_points(value, 2);
    case ParameterType::polygon:
      return is_points(value, 3);
  }
  return false;
}

std::string shown(const ParameterSpec& spec, const Value& value) {
  if (spec.secret) return "***";
  const std::string json = value.to_json();
  return json.size() <= 80 ? json : json.substr(0, 77) + "...";
}

class EffectiveSet final : public ParameterSet {
 public:
  EffectiveSet(const ParameterLayers& layers, uint64_t revision) : revision_(revision) {
    for (size_t i = 0; i < layers.layers.size(); ++i)
      for (const auto& [key, value] : layers.layers[i]) values_[key].try_emplace(i, value);
    // A value for one source beats the module's of the same layer, and no higher one.
    for (const auto& [key, by_layer] : values_) {
      const auto best = by_layer.begin();
      ParameterValue chosen{best->second, Layer(best->first + 1)};
      if (!key.source_id.empty())
        if (const auto own = values_.find({key.name, ""}); own != values_.end())
          if (const auto higher = own->second.begin(); higher->first < best->first)
            chosen = {higher->second, Layer(higher->first + 1)};
      chosen_.emplace(key, std::move(chosen));
    }
  }

  uint64_t revision() const override { return revision_; }

  const ParameterValue* find(std::string_view name, std::string_view source_id) const override {
    if (!source_id.empty())
      if (const auto found = chosen_.find(ParameterKey{std::string(name), std::string(source_id)});
          found != chosen_.end())
        return &found->second;
    const auto found = chosen_.find(ParameterKey{std::string(name), {}});
    return found == chosen_.end() ? nullptr : &found->second;
  }

 private:
  const uint64_t revision_;
  std::map<ParameterKey, std::map<size_t, Value>> values_;
  std::map<ParameterKey, ParameterValue> chosen_;
};

}  // namespace

Result<Value> check_value(std::string_view name, const ParameterSpec& spec, const Value& given) {
  Value value = given;
  if (!has_type(spec.type, value))
    return fail(ErrorCode::invalid_argument, "{}: {} is no value for it; it takes {}", name,
                shown(spec, given), expectation(spec.type));
  double number = 0;
  if (value.number(number)) {
    if (spec.min && number < *spec.min)
      return fail(ErrorCode::invalid_argument, "{}: {} is less than {}", name, shown(spec, value), *spec.min);
    if (spec.max && number > *spec.max)
      return fail(ErrorCode::invalid_argument, "{}: {} is more than {}", name, shown(spec, value), *spec.max);
  }
  if (!spec.choices.empty() && std::ranges::find(spec.choices, value) == spec.choices.end()) {
    std::string choices;
    for (const Value& choice : spec.choices) choices += (choices.empty() ? "" : ", ") + choice.to_json();
    return fail(ErrorCode::invalid_argument, "{}: {} is none of {}", name, shown(spec, value), choices);
  }
  if (!spec.pattern.empty() && value.text()) {
    if (value.text()->size() > most_matched)
      return fail(ErrorCode::invalid_argument, "{}: longer than {} bytes", name, most_matched);
    try {
      if (!std::regex_match(*value.text(), std::regex(spec.pattern)))
        return fail(ErrorCode::invalid_argument, "{}: {} does not match {}", name, shown(spec, value),
                    spec.pattern);
    } catch (const std::regex_error& error) {
      return fail(ErrorCode::invalid_argument, "{}: pattern {}: {}", name, spec.pattern, error.what());
    }
  }
  return value;
}

Result<Value> value_of_text(std::string_view name, const ParameterSpec& spec, std::string_view text) {
  if (spec.type == ParameterType::text) return check_value(name, spec, Value(std::string(text)));
  Diagnostics found;
  const Value value = read_yaml(text, std::string(name), found);
  if (found.has_errors())
    return fail(ErrorCode::invalid_argument, "{}: {} is no value for it; it takes {}", name,
                spec.secret ? "***" : text.substr(0, 80), expectation(spec.type));
  return check_value(name, spec, value);
}

ParameterKey parse_key(std::string_view text) {
  const size_t at = text.find('@');
  if (at == text.npos) return {std::string(text), {}};
  return {std::string(text.substr(0, at)), std::string(text.substr(at + 1))};
}

std::shared_ptr<const ParameterSet> effective(const ParameterLayers& layers, uint64_t revision) {
  return std::make_shared<const EffectiveSet>(layers, revision);
}

std::vector<ParameterKey> keys_of(const ParameterLayers& layers) {
  std::set<ParameterKey> keys;
  for (const auto& values : layers.layers)
    for (const auto& [key, value] : values) keys.insert(key);
  return {keys.begin(), keys.end()};
}

std::vector<Difference> differences(const ParameterLayers& before, const ParameterLayers& after) {
  const auto was = effective(before, 0), is = effective(after, 0);
  std::set<ParameterKey> keys;
  for (const ParameterLayers* layers : {&before, &after})
    for (ParameterKey& key : keys_of(*layers)) keys.insert(std::move(key));
  std::vector<Difference> found;
  const auto value_in = [](const ParameterSet& set, const ParameterKey& key) {
    const ParameterValue* value = set.find(key.name, key.source_id);
    return value ? value->value : Value();
  };
  for (const ParameterKey& key : keys) {
    Difference difference{key, value_in(*was, key), value_in(*is, key)};
    if (difference.before != difference.after) found.push_back(std::move(difference));
  }
  return found;
}

std::string to_text(const Difference& difference, const ParameterSpecs& specs) {
  const ParameterSpec* spec = find_spec(specs, difference.key.name);
  const ParameterSpec unknown;
  if (!spec) spec = &unknown;
  return difference.key.to_string() + ": " + shown(*spec, difference.before) + " → " +
         shown(*spec, difference.after);
}

const ParameterSpec* find_spec(const ParameterSpecs& specs, std::string_view name) {
  const auto found =
      std::ranges::find(specs, name, [](const auto& entry) -> std::string_view { return entry.first; });
  return found == specs.end() ? nullptr : &found->second;
}

}  // namespace sightglass::module
