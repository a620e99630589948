// What zeromq sources and sinks have in common: encryption, and paths of its files.
#pragma once

#include <string>
#include <vector>

#include "sightglass/adapters/tls_params.h"
#include "sightglass/core/param.h"
#include "sightglass/stream/zeromq/authentication.h"

namespace sightglass::adapters {

struct ZmqParams {
  std::vector<std::string> url;
  unsigned high_water_mark = 64;
  std::string curve_secret_key_file, curve_server_key, curve_allowed_keys_dir;
};

// With the paths of its files from `folder`.
inline stream::CurveOptions curve_options(const ZmqParams& params, const std::string& folder) {
  return {.secret_key_file = path_from(folder, params.curve_secret_key_file),
          .server_key = params.curve_server_key,
          .allowed_keys_dir = path_from(folder, params.curve_allowed_keys_dir)};
}

// That the key of this side can be read.
inline Status check_key(const stream::CurveOptions& options, const std::string& name) {
  if (options.secret_key_file.empty()) return {};
  auto key = stream::read_key_file(options.secret_key_file, name + ": curve.secret_key_file");
  if (!key) return forward_error(key);
  return {};
}

template <class P>
std::vector<ParamDesc> zmq_params(std::string_view url_doc) {
  std::vector<ParamDesc> params;
  params.push_back(
      param("url", static_cast<std::vector<std::string> P::*>(&ZmqParams::url), url_doc).required());
  params.push_back(param("high-water-mark", static_cast<unsigned P::*>(&ZmqParams::high_water_mark),
                         "messages that wait in a socket")
                       .range(1, 100'000));
  params.push_back(param("curve-secret-key-file",
                         static_cast<std::string P::*>(&ZmqParams::curve_secret_key_file),
                         "file with the secret key of this side; empty: no encryption"));
  params.push_back(param("curve-server-key", static_cast<std::string P::*>(&ZmqParams::curve_server_key),
                         "public key of the other side, where that is the server"));
  params.push_back(param("curve-allowed-keys-dir",
                         static_cast<std::string P::*>(&ZmqParams::curve_allowed_keys_dir),
                         "folder with the public keys that may connect; empty: any"));
  return params;
}

}  // namespace sightglass::adapters
