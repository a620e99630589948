// Parameters of the sink `sqlite`: its descriptor lies in the adapters' library, its code in a module.
#pragma once

#include <cstdint>
#include <string>

namespace sightglass::adapters {

struct SqliteParams {
  enum class Sync : uint8_t { normal, full };
  std::string path;
  double keep = 7 * 24 * 3600.0;  // s; 0: for ever
  bool notes = false;
  Sync sync = Sync::normal;
};

}  // namespace sightglass::adapters
