#include "sightglass/console/masking.h"

#include <utility>

#include "sightglass/core/masked_url.h"
#include "sightglass/core/secret_option.h"

namespace sightglass::console {
namespace {

using module::Value;

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
    result = Value(masked_setting(*value.text()));
  }
  result.origin = value.origin;
  result.key_origin = value.key_origin;
  return result;
}

}  // namespace

module::Value masked_description(const module::Value& tree) { return masked(tree, false); }

}  // namespace sightglass::console
