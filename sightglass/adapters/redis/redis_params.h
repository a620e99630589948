// Parameters of the sink `redis`.
#pragma once

#include <string>

#include "sightglass/adapters/tls_params.h"

namespace sightglass::adapters {

struct RedisParams : TlsParams {
  std::string url, stream = "sightglass", key, user, password_file;
  int64_t length = 10'000;
  double ttl = 86'400;
  double timeout = 5;
  bool notes = false;
};

}  // namespace sightglass::adapters
