// Who may use the HTTP API: a file with one token a line,
//
//   # name   scope     token
//   grafana  read      3f9c…
//   ops      control   77aa…
//
// read at start. Tokens are compared in constant time and appear nowhere else. Immutable, thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/console/route.h"
#include "sightglass/core/result.h"

namespace sightglass::console {

class Tokens {
 public:
  static Result<Tokens> read(const std::string& path);
  Tokens() = default;

  bool empty() const { return entries_.empty(); }
  struct Grant {
    std::string name;
    Scope scope = Scope::read;
  };
  // Of an Authorization header, "Bearer …".
  std::optional<Grant> check(std::string_view authorization) const;

 private:
  struct Entry {
    Grant grant;
    std::string token;
  };
  std::vector<Entry> entries_;
};

// Whether the two are equal, in a time that depends on the length of `secret` alone.
bool equal_in_constant_time(std::string_view given, std::string_view secret);

}  // namespace sightglass::console
