// Names of virtual streams (source ids).
#pragma once

#include <string>
#include <string_view>

#include "sightglass/core/result.h"

namespace sightglass::adapters {

// From the name of a file or URL: "/media/Gate 1.mp4" → "Gate-1".
std::string source_id_of(std::string_view location);
// 1 to 128 characters, a letter or digit first, then letters, digits, . _ : -, no "..".
Status check_source_id(std::string_view id);

}  // namespace sightglass::adapters
