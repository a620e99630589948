// Takes secrets out of what is shown: passwords in URLs, defaults of parameters that are marked secret, and
// values of keys that are named like secrets.
#pragma once

#include "sightglass/module/value.h"

namespace sightglass::console {

// A module's description; origins stay.
module::Value masked_description(const module::Value& tree);

}  // namespace sightglass::console
