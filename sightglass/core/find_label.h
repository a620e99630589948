// Looks a Label up without making it: for names that come with the data, which must not add to a table that
// only grows.
#pragma once

#include <string_view>

#include "sightglass/core/label.h"

namespace sightglass {

// The one of this name, empty while there is none. Takes a lock.
Label find_label(std::string_view name);

}  // namespace sightglass
