#include "sightglass/elements/selection/json_text.h"

#include <cctype>
#include <set>
#include <vector>

namespace sightglass {
namespace {

using Json = nlohmann::ordered_json;

constexpr int max_json_depth = 64;

bool is_bare_word(std::string_view text) {
  if (text.empty() || !(std::isalpha(uint8_t(text[0])) || text[0] == '_')) return false;
  return text != "true" && text != "false" && text != "null" &&
         text.find_first_of("{}[]\",:\n") == std::string_view::npos;
}

}  // namespace

Result<Json> parse_json(std::string_view text, std::string_view name) {
  while (!text.empty() && std::isspace(uint8_t(text.front()))) text.remove_prefix(1);
  while (!text.empty() && std::isspace(uint8_t(text.back()))) text.remove_suffix(1);
  if (text.size() > max_json_text)
    return fail(ErrorCode::invalid_argument, "{}: more than {} characters", name, max_json_text);
  if (is_bare_word(text)) return Json(std::string(text));
  std::vector<std::set<std::string>> keys;
  std::string repeated;
  bool too_deep = false;
  const auto look = [&](int depth, Json::parse_event_t event, Json& parsed) {
    too_deep |= depth > max_json_depth;
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end && !keys.empty()) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.empty()) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys.back().insert(key).second && repeated.empty()) repeated = key;
    }
    return true;
  };
  try {
    Json json = Json::parse(text, look);
    if (!repeated.empty())
      return fail(ErrorCode::invalid_argument, "{}: the key '{}' comes twice", name, repeated);
    if (too_deep) return fail(ErrorCode::invalid_argument, "{}: more than {} levels", name, max_json_depth);
    return json;
  } catch (const Json::exception& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 3: …"
    std::string_view reason = error.what();
    if (const size_t end = reason.find("] "); end != std::string_view::npos) reason.remove_prefix(end + 2);
    return fail(ErrorCode::invalid_argument, "{}: no JSON: {}", name, reason);
  }
}

}  // namespace sightglass
