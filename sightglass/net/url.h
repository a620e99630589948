// The parts of a URL, for those who decide by them whether it may be fetched.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sightglass/core/result.h"

namespace sightglass::net {

struct Url {
  std::string scheme;  // lower case
  std::string user, password;
  std::string host;   // lower case; IPv6 without its brackets; empty for file:///…
  uint16_t port = 0;  // the scheme's usual one where none is written; 0: it has none
  std::string path;   // percent-encoded as it came, "." and ".." resolved; starts with '/'
  std::string query;  // without '?'
  bool same_origin(const Url& other) const {
    return scheme == other.scheme && host == other.host && port == other.port;
  }
};

// Any scheme is taken. Errors show the URL masked.
Result<Url> parse_url(std::string_view text);
// Back to text, without user and password.
std::string to_string(const Url& url);
// What a Location header means to who asked for `base`: an absolute URL.
Result<std::string> resolve_url(std::string_view base, std::string_view reference);
// "%20" → " "; an error for what is no valid escape, and for an encoded NUL.
Result<std::string> percent_decoded(std::string_view text);

}  // namespace sightglass::net
