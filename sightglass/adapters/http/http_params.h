// Parameters of the sinks `elasticsearch` and `webhook`: their descriptors lie in the adapters' library,
// their code in a module.
#pragma once

#include <string>
#include <vector>

#include "sightglass/adapters/tls_params.h"

namespace sightglass::adapters {

struct ElasticsearchParams : TlsParams {
  std::vector<std::string> url;
  std::string index = "sightglass", user, password_file, api_key_file;
  double keep = 0, timeout = 30;  // s
  bool gzip = true, objects = true, notes = false;
};

struct WebhookParams : TlsParams {
  std::string url, user, password_file, token_file, secret_file;
  double timeout = 30;
  bool notes = true, gzip = false;
};

}  // namespace sightglass::adapters
