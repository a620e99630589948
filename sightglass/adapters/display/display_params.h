// Parameters of the sink `display`.
#pragma once

#include <string>

namespace sightglass::adapters {

struct DisplayParams {
  bool mosaic = true, sync = true;
  std::string size = "1280x720", title = "Sightglass";
  double fps = 30, linger = 10;
};

}  // namespace sightglass::adapters
