// JSON of answers: nlohmann's, which refuses nothing that is in a status (broken UTF-8 is replaced).
#pragma once

#include <string>
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
inline Json to_json(const module::Value& value) { return Json::parse(value.to_json()); }

}  // namespace sightglass::console
