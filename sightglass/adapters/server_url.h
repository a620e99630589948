// Addresses of servers as adapters take them: SCHEME://HOST[:PORT][/PATH], IPv6 in brackets. Names and
// passwords are no part of them: those are parameters, and secrets come from files.
#pragma once

#include <charconv>
#include <string>
#include <string_view>

#include "sightglass/core/masked_url.h"
#include "sightglass/core/result.h"

namespace sightglass::adapters {

struct ServerUrl {
  std::string scheme, host, path;
  int port = 0;
};

// `plain` and `encrypted` are the schemes that are understood, with their ports.
struct ServerScheme {
  std::string_view name;
  int port = 0;
};
inline Result<ServerUrl> parse_server_url(std::string_view text, ServerScheme plain, ServerScheme encrypted) {
  const auto bad = [&](std::string_view reason) {
    return fail(ErrorCode::invalid_argument, "url: '{}' {}; as in {}://host:{} or {}://host:{}",
                masked_url(text), reason, plain.name, plain.port, encrypted.name, encrypted.port);
  };
  const size_t colon = text.find("://");
  ServerUrl url;
  url.scheme = text.substr(0, colon == text.npos ? 0 : colon);
  if (url.scheme != plain.name && url.scheme != encrypted.name) return bad("is no address of this server");
  url.port = url.scheme == plain.name ? plain.port : encrypted.port;
  std::string_view rest = text.substr(colon + 3);
  if (const size_t slash = rest.find('/'); slash != rest.npos)
    url.path = rest.substr(slash + 1), rest = rest.substr(0, slash);
  if (rest.find('@') != rest.npos)
    return bad("has a user or password in it; user and password-file name them");
  size_t end = rest.rfind(':');
  if (rest.starts_with('[')) {
    const size_t bracket = rest.find(']');
    if (bracket == rest.npos) return bad("lacks a ']'");
    url.host = rest.substr(1, bracket - 1);
    end = rest.find(':', bracket);
  } else {
    url.host = rest.substr(0, end);
  }
  if (url.host.empty()) return bad("names no host");
  if (end == rest.npos) return url;
  const std::string_view port = rest.substr(end + 1);
  const auto read = std::from_chars(port.data(), port.data() + port.size(), url.port);
  if (read.ec != std::errc{} || read.ptr != port.data() + port.size() || url.port < 1 || url.port > 65535)
    return bad("has a bad port");
  return url;
}

}  // namespace sightglass::adapters
