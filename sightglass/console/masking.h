// Takes secrets out of what is shown: passwords in URLs, defaults of parameters that are marked secret, and
// values of keys that are named like secrets.
#pragma once

#include <string>
#include <string_view>

#include "sightglass/module/value.h"

namespace sightglass::console {

// "rtsp://user:hunter2@cam/1" → "rtsp://user:***@cam/1"
std::string masked_url(std::string_view text);
// A module's description; origins stay.
module::Value masked_description(const module::Value& tree);

}  // namespace sightglass::console
