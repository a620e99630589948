#include "sightglass/console/route.h"

#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>

namespace sightglass::console {
namespace {

using nlohmann::ordered_json;

std::string_view title(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 409:
      return "Conflict";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 422:
      return "Unprocessable Content";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Internal Server Error";
  }
}

std::vector<std::string_view> segments(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    path.remove_prefix(1);
    const size_t end = std::min(path.find('/'), path.size());
    parts.push_back(path.substr(0, end));
    path.remove_prefix(end);
  }
  return parts;
}

bool fits(const Route& route, const std::vector<std::string_view>& parts,
          std::map<std::string, std::string, std::less<>>& values) {
  const auto wanted = segments(route.pattern);
  if (wanted.size() != parts.size()) return false;
  std::map<std::string, std::string, std::less<>> found;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (wanted[i].starts_with('{') && wanted[i].ends_with('}')) {
      if (parts[i].empty()) return false;
      found[std::string(wanted[i].substr(1, wanted[i].size() - 2))] = parts[i];
    } else if (wanted[i] != parts[i]) {
      return false;
    }
  }
  values = std::move(found);
  return true;
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  return result;
}

}  // namespace

std::string_view to_string(Method method) {
  switch (method) {
    case Method::get:
      return "GET";
    case Method::put:
      return "PUT";
    case Method::post:
      return "POST";
    case Method::patch:
      return "PATCH";
    case Method::delete_:
      return "DELETE";
  }
  return "?";
}

Response problem(int status, std::string_view detail, const std::vector<FieldError>& errors) {
  ordered_json body{
      {"type", "about:blank"}, {"title", title(status)}, {"status", status}, {"detail", detail}};
  body["errors"] = ordered_json::array();
  for (const FieldError& error : errors) {
    ordered_json entry{{"path", error.path}, {"message", error.message}};
    if (!error.suggestion.empty()) entry["suggestion"] = error.suggestion;
    body["errors"].push_back(std::move(entry));
  }
  return {.status = status,
          .content_type = "application/problem+json",
          .body = body.dump(-1, ' ', false, ordered_json::error_handler_t::replace)};
}

Response problem(const Error& error) {
  int status = 500;
  switch (error.code) {
    case ErrorCode::not_found:
      status = 404;
      break;
    case ErrorCode::invalid_argument:
    case ErrorCode::corrupt:
    case ErrorCode::not_negotiated:
      status = 422;
      break;
    case ErrorCode::unsupported:
      status = 409;
      break;
    case ErrorCode::unavailable:
    case ErrorCode::exhausted:
    case ErrorCode::cancelled:
      status = 503;
      break;
    case ErrorCode::io:
    case ErrorCode::internal:
      break;
  }
  return problem(status, error.to_string());
}

const Route* match(const std::vector<Route>& routes, Method method, std::string_view path,
                   std::map<std::string, std::string, std::less<>>& values, std::vector<Method>& allowed) {
  allowed.clear();
  if (!path.starts_with('/')) return nullptr;
  const auto parts = segments(path);
  for (const Route& route : routes) {
    if (!fits(route, parts, values)) continue;
    if (route.method == method) return &route;
    allowed.push_back(route.method);
  }
  return nullptr;
}

std::string openapi(const std::vector<Route>& routes, std::string_view version) {
  ordered_json paths = ordered_json::object();
  for (const Route& route : routes) {
    ordered_json operation{{"summary", route.summary}};
    operation["x-scope"] = route.scope == Scope::open   ? "open"
                           : route.scope == Scope::read ? "read"
                                                        : "control";
    if (route.scope != Scope::open) operation["security"] = {{{"token", ordered_json::array()}}};
    ordered_json parameters = ordered_json::array();
    for (const std::string_view part : segments(route.pattern))
      if (part.starts_with('{'))
        parameters.push_back({{"name", part.substr(1, part.size() - 2)},
                              {"in", "path"},
                              {"required", true},
                              {"schema", {{"type", "string"}}}});
    for (const auto& [name, meaning] : route.query)
      parameters.push_back(
          {{"name", name}, {"in", "query"}, {"description", meaning}, {"schema", {{"type", "string"}}}});
    if (!parameters.empty()) operation["parameters"] = std::move(parameters);
    if (!route.request_example.empty())
      operation["requestBody"] = {
          {"content", {{"application/json", {{"example", ordered_json::parse(route.request_example)}}}}}};
    ordered_json responses = ordered_json::object();
    for (const int status : route.statuses)
      responses[std::to_string(status)] = {{"description", status < 300 && !route.answer.empty()
                                                               ? std::string_view(route.answer)
                                                               : title(status)}};
    operation["responses"] = std::move(responses);
    paths[route.pattern][lower(to_string(route.method))] = std::move(operation);
  }
  return ordered_json{
      {"openapi", "3.1.0"},
      {"info", {{"title", "Sightglass module"}, {"version", version}}},
      {"components", {{"securitySchemes", {{"token", {{"type", "http"}, {"scheme", "bearer"}}}}}}},
      {"paths", paths}}
      .dump();
}

}  // namespace sightglass::console
