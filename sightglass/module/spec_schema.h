// The schema of the whole file: every key of a description, declared once beside the member of spec.h that it
// fills. Validator, typed structs, JSON Schema and reference page come from it.
//
//   validate(tree, module_schema(), Path(), found, &module_schema());
//   ModuleSpec spec = read_spec(tree);
//   Value tree = write_spec(spec);     // what differs from the defaults
//
// Made at first use, about 20 ms; any thread afterwards.
#pragma once

#include <string>

#include "sightglass/module/schema.h"
#include "sightglass/module/spec.h"
#include "sightglass/stream/limits.h"

namespace sightglass::module {

const Schema& module_schema();

// From a tree without errors; what does not fit is left at its default.
ModuleSpec read_spec(const Value& tree);
Value write_spec(const ModuleSpec& spec);

// What `limits` says, over the defaults.
stream::Limits read_limits(const Value& limits);

// Types of declared parameters by the names that the file has for them: "float".
std::string_view to_string(ParameterType type);

// Parts that several sections share.
std::shared_ptr<Schema> function_schema();
std::shared_ptr<Schema> curve_schema();
std::shared_ptr<Schema> tls_schema();
std::shared_ptr<Schema> batch_schema();
std::shared_ptr<Schema> retry_schema();
// Objects or frames: checked by Selector::parse() once references are resolved.
std::shared_ptr<Schema> selector_type();

}  // namespace sightglass::module
