// What a schema cannot say of a description: whether its parts fit together, whether what it names is there.
// For every description, from a file or made in code.
//
//   Diagnostics found = check(spec);
//   if (found.has_errors()) return std::unexpected(found.to_error());
//
// Touches no device. Any thread.
#pragma once

#include <string>
#include <vector>

#include "sightglass/module/diagnostic.h"
#include "sightglass/module/spec.h"

namespace sightglass::module {

struct CheckOptions {
  bool files = true;                         // that models, functions and keys are there
  bool names = true;                         // that what is named exists, and what exists is used
  std::vector<std::string> used_parameters;  // by what is not part of the description just now
};

// The schema and the meaning.
Diagnostics check(const ModuleSpec& spec, const CheckOptions& options = {});

// The meaning alone. `tree` is what the spec was read from: where things stand.
void check_meaning(const ModuleSpec& spec, const Value& tree, const CheckOptions& options,
                   Diagnostics& found);

// The values of all parameters as the description has them; a parameter without default has the simplest
// value of its type.
Value default_parameters(const ModuleSpec& spec);

// Whether a value is one that the parameter may have: type, range, choices, pattern.
Status check_parameter(const ParameterSpec& parameter, const Value& value);

}  // namespace sightglass::module
