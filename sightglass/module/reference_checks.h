// Checks of references: that each exists, may be where it is, and stands for something that fits there. Part
// of checks.cc.
#pragma once

#include <set>
#include <string>

#include "sightglass/module/checks.h"
#include "sightglass/module/references.h"
#include "sightglass/module/schema.h"

namespace sightglass::module {

// Every text of the tree that is or contains a reference. Adds the parameters that are used to `used`.
void check_references(const ModuleSpec& spec, const Value& tree, const CheckOptions& options,
                      std::set<std::string>& used, Diagnostics& found);

// The scope in which every parameter has its default.
ReferenceScope default_scope(const ModuleSpec& spec, const Value& defaults);

}  // namespace sightglass::module
