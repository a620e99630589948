// JSON of answers: nlohmann's, which refuses nothing that is in a status (broken UTF-8 is replaced).
#pragma once

#include <string>
#include <string_view>
#include <nlohmann/json.hpp>

#include "sightglass/console/route.h"
#include "sightglass/module/value.h"

namespace sightglass::console {

using Json = nlohmann::ordered_json;

inline std::string to_text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}
inline Response json_response(const Json& json, int status = 200) {
  return {.status = status, .body = to_text(json)};
}
// Of a request; discarded where it is no JSON, or nested deeper than anything here: what walks over it does
// so by recursion.
inline Json parse_body(std::string_view text) {
  constexpr int most_levels = 64;
  bool is_too_deep = false;
  Json body = Json::parse(
      text,
      [&](int depth, Json::parse_event_t, Json&) {
        is_too_deep = is_too_deep || depth >= most_levels;
        return !is_too_deep;
      },
      false);
  return is_too_deep ? Json(Json::value_t::discarded) : body;
}
inline Json to_json(const module::Value& value) { return Json::parse(value.to_json()); }

}  // namespace sightglass::console
