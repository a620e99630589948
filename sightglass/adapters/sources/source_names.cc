#include "sightglass/adapters/sources/source_names.h"

#include <algorithm>

#include "sightglass/stream/message_reader.h"

namespace sightglass::adapters {

std::string source_id_of(std::string_view location) {
  location = location.substr(0, location.find_first_of("?#"));
  // Who comes is no part of a name, least of all with a password.
  if (const size_t scheme = location.find("://"); scheme != location.npos) {
    location = location.substr(scheme + 3);
    if (const size_t at = location.substr(0, location.find('/')).rfind('@'); at != location.npos)
      location = location.substr(at + 1);
  }
  while (location.ends_with('/')) location.remove_suffix(1);
  std::string_view name = location.substr(location.find_last_of('/') + 1);
  if (const size_t dot = name.find_last_of('.'); dot != name.npos && dot > 0) name = name.substr(0, dot);
  std::string id;
  for (const char c : name.substr(0, 128)) {
    const bool allowed = stream::is_source_id("a" + std::string(1, c)) && !(c == '.' && id.ends_with('.'));
    id += allowed ? c : '-';
  }
  id.erase(0, std::min(id.find_first_not_of("._:-"), id.size()));
  return id.empty() ? "source" : id;
}

Status check_source_id(std::string_view id) {
  if (stream::is_source_id(id)) return {};
  return fail(ErrorCode::invalid_argument,
              "source id '{}': 1 to 128 characters, a letter or digit first, then also . _ : - but no '..'",
              id.substr(0, 160));
}

}  // namespace sightglass::adapters
