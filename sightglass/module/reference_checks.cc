#include "sightglass/module/reference_checks.h"

#include <algorithm>
#include <format>
#include <regex>

#include "sightglass/module/spec_schema.h"

namespace sightglass::module {
namespace {

class ReferenceChecks {
 public:
  ReferenceChecks(const ModuleSpec& spec, const CheckOptions& options, std::set<std::string>& used,
                  Diagnostics& found)
      : options_(options),
        used_(used),
        found_(found),
        defaults_(default_parameters(spec)),
        scope_(default_scope(spec, defaults_)) {
    for (const auto& entry : spec.parameters) names_.push_back(entry.first);
  }

  // `schema` may be null: of what is only an element's own business.
  void walk(const Value& value, const Schema* schema, const Path& path, bool in_stream) {
    if (schema && schema->kind == Kind::any && !schema->alternatives.empty()) schema = chosen(*schema, value);
    if (value.text() && value.text()->find("${") != std::string::npos)
      return text(value, schema, path, in_stream);
    if (const auto* items = value.items())
      for (size_t i = 0; i < items->size(); ++i)
        walk((*items)[i], schema && schema->kind == Kind::list ? schema->items.get() : nullptr, path[i],
             in_stream);
    const auto* entries = value.entries();
    if (!entries) return;
    std::optional<Variant> storage;
    std::vector<const Key*> keys;
    if (schema && schema->kind == Kind::map) keys = keys_of(*schema, value, storage);
    for (const auto& [name, content] : *entries) {
      // Their values are no references; that is said in their own section.
      if (path.empty() && name == "parameters") continue;
      const Schema* below = nullptr;
      if (schema && schema->kind == Kind::table) below = schema->items.get();
      if (const auto key = std::ranges::find(keys, name, [](const Key* k) { return k->name; });
          key != keys.end())
        below = (*key)->type.get();
      walk(content, below, path / name, in_stream || is_per_stream(path, name));
    }
  }

 private:
  static bool is_per_stream(const Path& path, std::string_view name) {
    return (path.empty() && (name == "draw" || name == "output_frame")) ||
           (path.to_string() == "pipeline" && name == "elements");
  }

  static const Schema* chosen(const Schema& schema, const Value& value) {
    for (const auto& one : schema.alternatives)
      if ((one->kind == Kind::map || one->kind == Kind::table) == (value.entries() != nullptr) &&
          (one->kind == Kind::list) == (value.items() != nullptr))
        return one.get();
    // A text that is a reference may stand for any.
    return value.text() ? schema.alternatives.front().get() : nullptr;
  }

  void text(const Value& value, const Schema* schema, const Path& path, bool in_stream) {
    const auto references = references_in(*value.text());
    if (!references) return;  // said by the schema
    bool is_known = true;
    for (const Reference& reference : *references) {
      if (reference.kind == Reference::Kind::source_id && !in_stream) {
        found_.error(value.origin, path.to_string(),
                     "${stream.source_id}: only elements are made for each stream");
        is_known = false;
      }
      if (reference.kind != Reference::Kind::parameter) continue;
      used_.insert(reference.name);
      if (std::ranges::contains(names_, reference.name)) continue;
      is_known = false;
      if (options_.names)
        found_.error(value.origin, path.to_string(), std::format("no parameter is called {}", reference.name),
                     nearest_name(reference.name, names_));
    }
    if (!is_known || !schema) return;
    const auto resolved = resolve(value, scope_);
    if (!resolved) return;
    Diagnostics wrong;
    validate(*resolved, *schema, path, wrong);
    if (wrong.has_errors())
      found_.error(value.origin, path.to_string(),
                   std::format("{} is {} by default, which does not fit: {}", *value.text(),
                               resolved->to_json().substr(0, 60), wrong.items()[0].message));
  }

  const CheckOptions& options_;
  std::set<std::string>& used_;
  Diagnostics& found_;
  Value defaults_;
  ReferenceScope scope_;
  std::vector<std::string> names_;
};

Value simplest(const ParameterSpec& parameter) {
  if (!parameter.choices.empty()) return parameter.choices.front();
  switch (parameter.type) {
    case ParameterType::boolean:
      return false;
    case ParameterType::integer:
      return int64_t(parameter.min.value_or(parameter.max.value_or(0)));
    case ParameterType::number:
      return parameter.min.value_or(parameter.max.value_or(0));
    case ParameterType::text:
      return "";
    case ParameterType::line:
      return Value::list({Value::list({0, 0}), Value::list({1, 1})});
    case ParameterType::polygon:
      return Value::list({Value::list({0, 0}), Value::list({1, 0}), Value::list({1, 1})});
  }
  return {};
}

Status check_points(const Value& value, size_t least, size_t most, std::string_view what) {
  const auto* points = value.items();
  if (!points || points->size() < least || points->size() > most)
    return fail(ErrorCode::invalid_argument, "expects a {}, got {}", what, value.to_json().substr(0, 60));
  for (const Value& point : *points) {
    const auto* both = point.items();
    double x = 0, y = 0;
    if (!both || both->size() != 2 || !(*both)[0].number(x) || !(*both)[1].number(y))
      return fail(ErrorCode::invalid_argument, "expects a {}, got {} for a point", what,
                  point.to_json().substr(0, 60));
    if (x < 0 || y < 0 || x > 65'536 || y > 65'536)
      return fail(ErrorCode::invalid_argument, "{} lies outside of any picture", point.to_json());
  }
  return {};
}

}  // namespace

ReferenceScope default_scope(const ModuleSpec& spec, const Value& defaults) {
  return {.parameter = [&defaults](std::string_view name) { return defaults.find(name); },
          .module_name = spec.name,
          .source_id = "source"};
}

Value default_parameters(const ModuleSpec& spec) {
  Value values = Value::map();
  for (const auto& [name, parameter] : spec.parameters)
    values.set(name, parameter.default_value.is_null() ? simplest(parameter) : parameter.default_value);
  return values;
}

Status check_parameter(const ParameterSpec& parameter, const Value& value) {
  const auto wrong = [&](std::string_view what) {
    return fail(ErrorCode::invalid_argument, "expects {}, got {}", what, value.to_json().substr(0, 60));
  };
  double number = 0;
  switch (parameter.type) {
    case ParameterType::boolean:
      if (!value.boolean()) return wrong("true or false");
      break;
    case ParameterType::integer:
      if (!value.integer()) return wrong("a whole number");
      break;
    case ParameterType::number:
      if (!value.number(number)) return wrong("a number");
      break;
    case ParameterType::text:
      if (!value.text()) return wrong("a text");
      break;
    case ParameterType::line:
      if (auto status = check_points(value, 2, 2, "line [[x, y], [x, y]]"); !status) return status;
      break;
    case ParameterType::polygon:
      if (auto status = check_points(value, 3, 1024, "polygon [[x, y], [x, y], [x, y], …]"); !status)
        return status;
      break;
  }
  if (value.number(number)) {
    if (parameter.min && number < *parameter.min)
      return fail(ErrorCode::invalid_argument, "{} is less than {}", number, *parameter.min);
    if (parameter.max && number > *parameter.max)
      return fail(ErrorCode::invalid_argument, "{} is more than {}", number, *parameter.max);
  }
  if (!parameter.choices.empty() && !std::ranges::contains(parameter.choices, value))
    return wrong("one of " + Value::list(parameter.choices).to_json());
  if (value.text() && !parameter.pattern.empty()) {
    try {
      if (value.text()->size() > 4096 ||
          !std::regex_match(*value.text(), std::regex(parameter.pattern, std::regex::ECMAScript)))
        return wrong("a text that matches " + parameter.pattern);
    } catch (const std::regex_error&) {
      return fail(ErrorCode::invalid_argument, "{} is no regular expression", parameter.pattern);
    }
  }
  return {};
}

void check_references(const ModuleSpec& spec, const Value& tree, const CheckOptions& options,
                      std::set<std::string>& used, Diagnostics& found) {
  ReferenceChecks(spec, options, used, found).walk(tree, &module_schema(), Path(), false);
}

}  // namespace sightglass::module
