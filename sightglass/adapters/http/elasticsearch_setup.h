// What is made in Elasticsearch or OpenSearch before anything is stored: index templates with typed mappings,
// and a life cycle where one is asked for. What is there already is compared, never changed.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <nlohmann/json_fwd.hpp>

#include "sightglass/core/result.h"
#include "sightglass/net/http_client.h"

namespace sightglass::adapters {

// Of an answer, which may hold anything: what is there of that type, else empty or `otherwise`. Throws
// nothing.
std::string text_of(const nlohmann::json& json, std::string_view key);
int number_of(const nlohmann::json& json, std::string_view key, int otherwise);
const nlohmann::json& member_of(const nlohmann::json& json, std::string_view key);  // else null

struct ElasticsearchSetup {
  std::string prefix;  // of index names
  double keep = 0;     // s; 0: no life cycle
  bool objects = true, notes = false;
};

// `ask` sends a request to a node: method, path, body. Errors: that of `ask`, of an answer that is none of
// success, or a conflict, which names both sides (invalid_argument).
using AskNode = std::function<Result<net::HttpAnswer>(std::string_view method, std::string_view path,
                                                      std::string_view body)>;
Status set_up_elasticsearch(const ElasticsearchSetup& setup, const AskNode& ask);

}  // namespace sightglass::adapters
