// What adapters to servers have in common: encryption and credentials. In YAML `tls: {ca: …, cert: …}`, on a
// command line tls-ca=…; secrets come from files only, so that neither files of modules nor `ps` shows them.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/param.h"
#include "sightglass/core/result.h"

namespace sightglass::adapters {

// An adapter's Params inherit it and pass their table to add_tls_params<Params>().
struct TlsParams {
  std::string tls_ca, tls_cert, tls_key, tls_server_name;
  bool tls_verify = true;
};

template <class P>
void add_tls_params(std::vector<ParamDesc>& params) {
  const auto text = [&](std::string_view name, std::string TlsParams::* member, std::string_view doc) {
    params.push_back(param(name, static_cast<std::string P::*>(member), doc));
  };
  text("tls-ca", &TlsParams::tls_ca,
       "file with the certificates that the server's is checked against; empty: the system's");
  text("tls-cert", &TlsParams::tls_cert, "file with the certificate of this side");
  text("tls-key", &TlsParams::tls_key, "file with its key");
  text("tls-server-name", &TlsParams::tls_server_name, "name that the server's certificate must have");
  params.push_back(param("tls-verify", static_cast<bool P::*>(&TlsParams::tls_verify),
                         "whether the server's certificate is checked"));
}

// Keys of TLS at an address that is not encrypted: an error, since nobody would notice. `scheme` is that of
// an encrypted one.
inline Status refuse_unused_tls(const TlsParams& params, const std::string& name, std::string_view scheme) {
  const std::string_view key = !params.tls_ca.empty()            ? "ca"
                               : !params.tls_cert.empty()        ? "cert"
                               : !params.tls_key.empty()         ? "key"
                               : !params.tls_server_name.empty() ? "server_name"
                               : !params.tls_verify              ? "verify"
                                                                 : "";
  if (key.empty()) return {};
  return fail(ErrorCode::invalid_argument,
              "{}: tls.{} is set, but the url is not encrypted; one with {}:// is", name, key, scheme);
}

// A path from a module's folder.
inline std::string path_from(const std::string& folder, const std::string& name) {
  return name.empty() || folder.empty() ? name
                                        : (std::filesystem::path(folder) / name).lexically_normal().string();
}

// The first line of a file with a secret. The error names the key, not what the file holds.
inline Result<std::string> read_secret(const std::string& folder, const std::string& name,
                                       std::string_view key) {
  std::ifstream file(path_from(folder, name));
  std::string secret;
  if (!std::getline(file, secret))
    return fail(ErrorCode::not_found, "{}: the file {} cannot be read or is empty", key, name);
  while (!secret.empty() && (secret.back() == '\r' || secret.back() == ' ')) secret.pop_back();
  return secret;
}

}  // namespace sightglass::adapters
