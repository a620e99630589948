// JSON that people write into properties: what is wrong becomes an error in one line, also a key that comes
// twice. Inside of the library only.
#pragma once

#include <string_view>
#include <nlohmann/json.hpp>

#include "sightglass/core/result.h"

namespace sightglass {

inline constexpr size_t max_json_text = 256 * 1024;

// `name` begins the message. A text without any bracket, quote or digit in front is taken as it stands:
// faces.face is "faces.face".
Result<nlohmann::ordered_json> parse_json(std::string_view text, std::string_view name);

}  // namespace sightglass
