#include "sightglass/core/masked_url.h"

#include <algorithm>
#include <array>

#include "sightglass/core/secret_option.h"

namespace sightglass {
namespace {

// Of "CANONICALIZE:true,AWS_SESSION_TOKEN:abc", as MongoDB has them.
bool has_secret_property(std::string_view value) {
  while (!value.empty()) {
    const size_t end = std::min(value.find(','), value.size());
    const size_t colon = value.substr(0, end).find(':');
    if (colon != value.npos && is_secret_option(value.substr(0, colon))) return true;
    value.remove_prefix(std::min(end + 1, value.size()));
  }
  return false;
}

// "a=1&token=abc" → "a=1&token=***"; ends where the query does.
void add_masked_query(std::string_view query, std::string& out) {
  while (!query.empty()) {
    const size_t end = std::min(query.find_first_of("&;"), query.size());
    const std::string_view item = query.substr(0, end);
    const size_t equals = item.find('=');
    const bool hide = equals != item.npos && (is_secret_option(item.substr(0, equals)) ||
                                              has_secret_property(item.substr(equals + 1)));
    out += hide ? item.substr(0, equals + 1) : item;
    if (hide) out += "***";
    if (end < query.size()) out += query[end];
    query.remove_prefix(std::min(end + 1, query.size()));
  }
}

}  // namespace

bool is_secret_name(std::string_view name) {
  static constexpr std::array<std::string_view, 6> words = {"password", "passphrase", "secret",
                                                            "token",    "api_key",    "credential"};
  if (name.ends_with("_file")) return false;
  return std::ranges::any_of(words, [&](std::string_view word) { return name.find(word) != name.npos; });
}

std::string masked_url(std::string_view text) {
  std::string out;
  for (;;) {
    const size_t scheme = text.find("://");
    if (scheme == text.npos) break;
    // Up to the space the rest is this URL's; a password may have any of the other signs in it.
    const size_t begin = scheme + 3, end = std::min(text.find(' ', begin), text.size());
    std::string_view rest = text.substr(begin, end - begin);
    out += text.substr(0, begin);
    size_t host_end = std::min(rest.find_first_of("/?#"), rest.size());
    // Where no port can follow the colon, it is a password with one of these signs in it.
    if (const std::string_view host = rest.substr(0, host_end); !host.contains('@') && !host.starts_with('['))
      if (const size_t colon = host.find(':');
          colon != host.npos && host.find_first_not_of("0123456789", colon + 1) != host.npos)
        host_end = rest.size();
    if (const size_t at = rest.substr(0, host_end).rfind('@'); at != rest.npos) {
      // The name of a user alone may as well be a token.
      const size_t colon = rest.substr(0, at).find(':');
      if (colon != rest.npos) out += rest.substr(0, colon + 1);
      out += "***";
      rest.remove_prefix(at);
    }
    if (const size_t query = rest.find('?'); query != rest.npos) {
      const size_t fragment = std::min(rest.find('#', query), rest.size());
      out += rest.substr(0, query + 1);
      add_masked_query(rest.substr(query + 1, fragment - query - 1), out);
      rest.remove_prefix(fragment);
    }
    out += rest;
    text.remove_prefix(end);
  }
  return out += text;
}

}  // namespace sightglass
