#include "sightglass/console/tokens.h"

#include <fstream>
#include <sstream>

namespace sightglass::console {

Result<Tokens> Tokens::read(const std::string& path) {
  std::ifstream file(path);
  if (!file) return fail(ErrorCode::io, "http.token_file: {}: cannot be read", path);
  Tokens tokens;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    std::istringstream words(line);
    std::string name, scope, token, more;
    if (!(words >> name) || name.starts_with('#')) continue;
    // What is wrong is said without what may be the secret.
    if (!(words >> scope >> token) || words >> more)
      return fail(ErrorCode::invalid_argument, "{}:{}: a line is NAME SCOPE TOKEN", path, number);
    if (scope != "read" && scope != "control")
      return fail(ErrorCode::invalid_argument, "{}:{}: the scope is read or control", path, number);
    if (token.size() < 16)
      return fail(ErrorCode::invalid_argument, "{}:{}: a token has 16 characters or more", path, number);
    tokens.entries_.push_back({{name, scope == "read" ? Scope::read : Scope::control}, token});
  }
  if (tokens.entries_.empty()) return fail(ErrorCode::invalid_argument, "{}: has no tokens", path);
  return tokens;
}

std::optional<Tokens::Grant> Tokens::check(std::string_view authorization) const {
  constexpr std::string_view scheme = "Bearer ";
  if (!authorization.starts_with(scheme)) return {};
  const std::string_view given = authorization.substr(scheme.size());
  std::optional<Grant> grant;
  for (const Entry& entry : entries_)
    if (equal_in_constant_time(given, entry.token)) grant = entry.grant;
  return grant;
}

bool equal_in_constant_time(std::string_view given, std::string_view secret) {
  unsigned difference = given.size() == secret.size() ? 0 : 1;
  for (size_t i = 0; i < secret.size(); ++i)
    difference |= unsigned(uint8_t(secret[i]) ^ uint8_t(i < given.size() ? given[i] : 0));
  return difference == 0;
}

}  // namespace sightglass::console
