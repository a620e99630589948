// The search behind plan_map(): the cheapest way over the edges of the registered mappers. For the sources of
// this folder.
#pragma once

#include "sightglass/memory/map_to.h"

namespace sightglass {

// Costs some ten microseconds. The error is that of plan_map().
Result<MapPlan> find_way(std::vector<const Mapper*> mappers, const Form& from, const Form& to);

}  // namespace sightglass
