// Parameters of the sink `mongodb`: its descriptor lies in the adapters' library, its code in a module.
#pragma once

#include <string>

#include "sightglass/adapters/tls_params.h"

namespace sightglass::adapters {

struct MongodbParams : TlsParams {
  std::string url, database = "sightglass", user, password_file, auth_source;
  double keep = 0, timeout = 10;  // s
  bool objects = true, notes = false;
};

}  // namespace sightglass::adapters
