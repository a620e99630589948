// Checks of sources and sinks. Parts of checks.cc.
#pragma once

#include "sightglass/module/checks.h"

namespace sightglass::module {

void check_sources(const ModuleSpec& spec, const Value& tree, const CheckOptions& options,
                   Diagnostics& found);
void check_sinks(const ModuleSpec& spec, const Value& tree, const CheckOptions& options, Diagnostics& found);

}  // namespace sightglass::module
