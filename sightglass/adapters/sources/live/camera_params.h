// Parameters of the `camera` source.
#pragma once

#include <string>
#include <vector>

#include "sightglass/adapters/sources/live/live_params.h"

namespace sightglass::adapters {

struct CameraParams : LiveParams {
  std::string device, format = "raw", size;
  Fraction rate{0, 1};
  std::vector<std::string> controls;
};

}  // namespace sightglass::adapters
