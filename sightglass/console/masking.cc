#include "sightglass/console/masking.h"

#include <algorithm>
#include <array>
#include <utility>

namespace sightglass::console {
namespace {

using module::Value;

// Of keys, unless they name a file.
bool is_secret_name(std::string_view key) {
  static constexpr std::array<std::string_view, 6> words = {"password", "passphrase", "secret",
                                                            "token",    "api_key",    "credential"};
  if (key.ends_with("_file")) return false;
  return std::ranges::any_of(words, [&](std::string_view word) { return key.find(word) != key.npos; });
}

bool is_secret_parameter(const Value& value) {
  const Value* secret = value.find("secret");
  return secret && secret->boolean() && *secret->boolean();
}

Value masked(const Value& value, bool hidden) {
  Value result = value;
  if (value.entries()) {
    const bool is_secret = is_secret_parameter(value);
    Value::Map entries;
    for (const auto& [key, entry] : *value.entries()) {
      // `secret: true` says that something is one.
      const bool hide =
          hidden || (is_secret && key == "default") || (is_secret_name(key) && !entry.boolean());
      entries.emplace_back(key, masked(entry, hide));
    }
    result = Value::map(std::move(entries));
  } else if (value.items()) {
    Value::List items;
    for (const Value& item : *value.items()) items.push_back(masked(item, hidden));
    result = Value::list(std::move(items));
  } else if (hidden && !value.is_null()) {
    result = Value("***");
  } else if (value.text()) {
    result = Value(masked_url(*value.text()));
  }
  result.origin = value.origin;
  result.key_origin = value.key_origin;
  return result;
}

}  // namespace

std::string masked_url(std::string_view text) {
  const size_t scheme = text.find("://");
  if (scheme == text.npos) return std::string(text);
  const size_t begin = scheme + 3, end = std::min(text.find_first_of("/?# ", begin), text.size());
  const size_t at = text.substr(begin, end - begin).rfind('@');
  if (at == text.npos) return std::string(text);
  const size_t colon = text.substr(begin, at).find(':');
  if (colon == text.npos) return std::string(text);
  return std::string(text.substr(0, begin + colon + 1)) + "***" + masked_url(text.substr(begin + at));
}

module::Value masked_description(const module::Value& tree) { return masked(tree, false); }

}  // namespace sightglass::console
