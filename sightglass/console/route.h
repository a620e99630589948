// The HTTP API as a table of routes, from which the server, the checks of access and the OpenAPI document
// follow. A handler is a plain function of a request; it knows nothing of sockets and runs on a worker
// thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sightglass/core/result.h"

namespace sightglass::console {

enum class Method : uint8_t { get, put, post, patch, delete_ };
std::string_view to_string(Method method);  // "GET"

// open: everybody, also without a token (probes); read: GET; control: whatever changes state.
enum class Scope : uint8_t { open, read, control };

struct Request {
  Method method = Method::get;
  std::map<std::string, std::string, std::less<>> path;  // by the names in the pattern
  std::map<std::string, std::string, std::less<>> query;
  std::string body, content_type;
  uint64_t if_match = 0;  // revision; 0: none given
  std::string who;        // name of the token; "local" without
  bool may_control = true;
};

struct FieldError {
  std::string path, message, suggestion;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json", body;
  std::vector<std::pair<std::string, std::string>> headers;
};
// Problem JSON (RFC 9457) with the errors one by one.
Response problem(int status, std::string_view detail, const std::vector<FieldError>& errors = {});
// The status that belongs to the code of an error.
Response problem(const Error& error);

struct Route {
  Method method = Method::get;
  std::string pattern;  // "/v1/streams/{id}"
  Scope scope = Scope::read;
  std::string summary;
  std::vector<int> statuses;                               // that it answers with, beside 401, 403 and 500
  std::vector<std::pair<std::string, std::string>> query;  // name, what it means
  std::string request_example, answer;                     // JSON; what comes back, in a line
  std::function<Response(const Request&)> handle;          // null: the server's own (events)
  size_t most_body = size_t(1) << 20;
  bool takes_json = true;  // else a picture or YAML
};

// The route for a path and the values of its {names}; null: no such path. `allowed` are the methods of the
// path, where only the method does not fit.
const Route* match(const std::vector<Route>& routes, Method method, std::string_view path,
                   std::map<std::string, std::string, std::less<>>& values, std::vector<Method>& allowed);

// The OpenAPI 3.1 document of the table.
std::string openapi(const std::vector<Route>& routes, std::string_view version);

}  // namespace sightglass::console
