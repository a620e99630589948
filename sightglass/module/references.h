// References: `${parameters.NAME}`, `${module.name}` and `${stream.source_id}` in the texts of a description.
// A text that is one reference and nothing else takes the value with its type; within a longer text the value
// is written into it. There are no expressions; `$$` is a dollar sign.
//
//   ReferenceScope scope{.parameter = [&](std::string_view name) { return values.find(name); },
//                        .module_name = "gate", .source_id = "cam-1"};
//   Result<Value> lines = resolve(element.properties, scope);   // a whole tree
//   for (const std::string& name : referenced_parameters(element.properties)) …  // what to watch
//
// Pure functions, any thread; for start-up and changes, not for every frame.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/result.h"
#include "sightglass/module/value.h"

namespace sightglass::module {

struct ReferenceScope {
  // The value in force; null: there is no such parameter.
  std::function<const Value*(std::string_view name)> parameter;
  std::string module_name;
  std::optional<std::string> source_id;  // none: outside of a stream; a reference to it is an error
};

struct Reference {
  enum class Kind : uint8_t { parameter, module_name, source_id };
  Kind kind = Kind::parameter;
  std::string name;  // of the parameter
};

// The value with every reference in it replaced, origins kept. Errors name the reference.
Result<Value> resolve(const Value& value, const ReferenceScope& scope);

bool has_references(const Value& value);
// Each once, in the order in which they stand there.
std::vector<std::string> referenced_parameters(const Value& value);
bool refers_to_source(const Value& value);
// The reference that a text is, if it is one and nothing else.
std::optional<Reference> as_reference(const Value& value);
// All of a text; an error for `${` without end, unknown names, and a parameter's name that can be none.
Result<std::vector<Reference>> references_in(std::string_view text);

// [a-z_][a-z0-9_]*, up to 64 characters
bool is_parameter_name(std::string_view name);

}  // namespace sightglass::module
