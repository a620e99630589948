// Checks of elements, models, functions and selectors. Parts of checks.cc.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "sightglass/module/checks.h"

namespace sightglass::module {

// Adds what the elements name to `models` and `groups`.
void check_elements(const ModuleSpec& spec, const Value& tree, const CheckOptions& options,
                    std::set<std::string>& models, std::set<std::string>& groups, Diagnostics& found);
void check_models(const ModuleSpec& spec, const Value& tree, const CheckOptions& options, Diagnostics& found);
void check_function(const FunctionSpec& function, const ModuleSpec& spec, const CheckOptions& options,
                    const Path& path, const Value& tree, Diagnostics& found);
// `name` begins the paths of the selector's own errors; `of_frames`: predicates of objects are refused.
void check_selector(const Value& value, std::string_view name, bool of_frames, const ModuleSpec& spec,
                    const Path& path, Diagnostics& found);

}  // namespace sightglass::module
