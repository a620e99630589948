// The types of sources and sinks that a description may name. Those of this program come from their
// descriptors (adapters/adapter.h); of others, which a module may be written for, the keys are known here, so
// that a description is checked alike everywhere and only its start asks for what this machine has.
#pragma once

#include <string_view>
#include <vector>

#include "sightglass/module/schema.h"

namespace sightglass::module {

std::vector<Variant> source_variants();
std::vector<Variant> sink_variants();

// Whether this program can run it. `zeromq` as a source is part of the module.
bool is_source_available(std::string_view type);
bool is_sink_available(std::string_view type);

}  // namespace sightglass::module
