// /v1/parameters and /v1/revisions.
#include <algorithm>
#include <charconv>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/console/api.h"
#include "sightglass/console/json_text.h"

namespace sightglass::console {
namespace {

using module::ChangeOutcome;
using module::ChangeResult;
using module::ParameterChange;

int status_of(ChangeResult result) {
  switch (result) {
    case ChangeResult::applied:
    case ChangeResult::unchanged:
      return 200;
    case ChangeResult::invalid:
      return 422;
    case ChangeResult::conflict:
      return 412;
    case ChangeResult::needs_restart:
      return 409;
    case ChangeResult::not_found:
      return 404;
    case ChangeResult::failed:
      return 422;
  }
  return 500;
}

std::string_view detail_of(ChangeResult result) {
  switch (result) {
    case ChangeResult::invalid:
      return "nothing was changed: not every value is valid";
    case ChangeResult::conflict:
      return "nothing was changed: the parameters have changed meanwhile";
    case ChangeResult::needs_restart:
      return "nothing was changed: it takes a restart of the module";
    case ChangeResult::not_found:
      return "there is no such parameter";
    case ChangeResult::failed:
      return "nothing was changed: an element has refused the set";
    default:
      return "";
  }
}

Response refused(const ChangeOutcome& outcome) {
  std::vector<FieldError> errors;
  for (const module::ParameterError& error : outcome.errors)
    errors.push_back({error.path, error.message, error.suggestion});
  return problem(status_of(outcome.result), detail_of(outcome.result), errors);
}

Response answer(const ChangeOutcome& outcome) {
  if (status_of(outcome.result) != 200) return refused(outcome);
  Response response = json_response({{"revision", outcome.revision}, {"changes", outcome.changes}});
  response.headers.emplace_back("ETag", "\"" + std::to_string(outcome.revision) + "\"");
  return response;
}

class ParameterRoutes {
 public:
  explicit ParameterRoutes(module::Module& module) : module_(module) {}

  Response list(const Request& request) const {
    const auto set = module_.parameters().current();
    const std::string source = value_or(request.query, "source", "");
    Json list = Json::array();
    for (const auto& [name, spec] : module_.spec().parameters) {
      Json entry = describe(name, spec, *set, source);
      list.push_back(std::move(entry));
    }
    Response response = json_response({{"revision", set->revision()},
                                       {"parameters", std::move(list)},
                                       {"pending", module_.parameters().pending()},
                                       {"warnings", module_.parameters().warnings()},
                                       {"etcd_is_current", module_.parameters().etcd_is_current()}});
    response.headers.emplace_back("ETag", "\"" + std::to_string(set->revision()) + "\"");
    return response;
  }

  Response get(const Request& request) const {
    const std::string& name = request.path.at("name");
    const auto& specs = module_.spec().parameters;
    const auto spec =
        std::ranges::find(specs, name, [](const auto& entry) -> const std::string& { return entry.first; });
    if (spec == specs.end()) return unknown(name);
    const auto set = module_.parameters().current();
    return json_response(describe(name, spec->second, *set, value_or(request.query, "source", "")));
  }

  Response put(const Request& request) {
    const Json body = parse_body(request.body);
    if (!body.is_object() || !body.contains("value"))
      return problem(400, R"(the body is {"value": …, "persist": true})");
    for (const auto& [key, value] : body.items())
      if (key != "value" && key != "persist")
        return problem(400, "unknown key " + key, {{key, "no such key", {}}});
    ParameterChange change = change_of(request);
    change.value = module::value_from_json_or_null(body["value"].dump());
    if (change.value.is_null()) return problem(422, "null is no value; DELETE uncovers the next layer");
    if (body.contains("persist") && !body["persist"].is_boolean())
      return problem(400, "persist is true or false", {{"persist", "true or false", {}}});
    change.persist = body.value("persist", true);
    const ChangeOutcome outcome = apply({change}, request);
    if (status_of(outcome.result) != 200) return refused(outcome);
    const auto set = module_.parameters().current();
    const auto& specs = module_.spec().parameters;
    const auto spec = std::ranges::find(specs, change.name,
                                        [](const auto& entry) -> const std::string& { return entry.first; });
    return json_response(describe(change.name, spec->second, *set, change.source_id));
  }

  Response remove(const Request& request) { return answer(apply({change_of(request)}, request)); }

  Response patch(const Request& request) {
    const Json body = parse_body(request.body);
    if (!body.is_object())
      return problem(400, R"(the body is {"set": {NAME: VALUE}, "unset": [NAME], "dry_run": false})");
    std::vector<FieldError> wrong;
    for (const auto& [key, value] : body.items())
      if (key != "set" && key != "unset" && key != "dry_run" && key != "persist")
        wrong.push_back({key, "no such key", {}});
    if (body.contains("set") && !body["set"].is_object())
      wrong.push_back({"set", "a map of names and values", {}});
    if (body.contains("unset") && !body["unset"].is_array())
      wrong.push_back({"unset", "a list of names", {}});
    for (const char* flag : {"dry_run", "persist"})
      if (body.contains(flag) && !body[flag].is_boolean()) wrong.push_back({flag, "true or false", {}});
    if (wrong.empty() && body.contains("unset"))
      for (const Json& name : body["unset"])
        if (!name.is_string()) wrong.push_back({"unset", "a list of names", {}});
    if (!wrong.empty()) return problem(400, "the body is not as it should be", wrong);
    std::vector<ParameterChange> changes;
    const bool persist = body.value("persist", true);
    if (body.contains("set"))
      for (const auto& [name, value] : body["set"].items())
        changes.push_back(change_of(name, module::value_from_json_or_null(value.dump()), persist));
    if (body.contains("unset"))
      for (const Json& name : body["unset"])
        changes.push_back(change_of(name.get<std::string>(), {}, persist));
    return answer(apply(changes, request, body.value("dry_run", false)));
  }

  Response revisions(const Request&) const {
    Json list = Json::array();
    for (const module::Revision& revision : module_.parameters().revisions())
      list.push_back({{"revision", revision.number},
                      {"at_us", revision.at_us},
                      {"by", revision.by},
                      {"changes", revision.changes}});
    return json_response(list);
  }

  Response restore(const Request& request) {
    const std::string& text = request.path.at("number");
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size())
      return problem(404, "there is no revision " + text);
    const ChangeOutcome outcome = module_.parameters().restore(number, request.who);
    return answer(outcome);
  }

 private:
  static Response unknown(const std::string& name) { return problem(404, "there is no parameter " + name); }

  static ParameterChange change_of(const std::string& key, module::Value value, bool persist) {
    const size_t at = key.find('@');
    return {.layer = module::Layer::http,
            .name = key.substr(0, at),
            .source_id = at == key.npos ? std::string() : key.substr(at + 1),
            .value = std::move(value),
            .persist = persist};
  }
  static ParameterChange change_of(const Request& request) {
    ParameterChange change = change_of(request.path.at("name"), {}, true);
    if (change.source_id.empty()) change.source_id = value_or(request.query, "source", "");
    return change;
  }

  ChangeOutcome apply(const std::vector<ParameterChange>& changes, const Request& request,
                      bool dry_run = false) {
    return module_.parameters().change(changes, request.who, request.if_match, dry_run);
  }

  static Json shown(const module::ParameterValue* value, bool is_secret) {
    return !value ? Json() : is_secret ? Json("***") : to_json(value->value);
  }

  static Json describe(const std::string& name, const module::ParameterSpec& spec,
                       const module::ParameterSet& set, const std::string& source) {
    const module::ParameterValue* now = set.find(name, source);
    Json entry{{"name", name}};
    entry["value"] = shown(now, spec.secret);
    entry["layer"] = now ? module::to_string(now->layer) : "";
    entry["revision"] = set.revision();
    if (spec.min) entry["min"] = *spec.min;
    if (spec.max) entry["max"] = *spec.max;
    if (!spec.unit.empty()) entry["unit"] = spec.unit;
    if (!spec.doc.empty()) entry["doc"] = spec.doc;
    entry["per_source"] = spec.per_source;
    return entry;
  }

  module::Module& module_;
};

}  // namespace

void add_parameter_routes(module::Module& module, std::vector<Route>& routes) {
  const auto calls = std::make_shared<ParameterRoutes>(module);
  const std::vector<std::pair<std::string, std::string>> of_source = {
      {"source", "source id; none: the module's value"}};
  routes.push_back({.method = Method::get,
                    .pattern = "/v1/parameters",
                    .summary = "All parameters and what is in force",
                    .statuses = {200},
                    .query = of_source,
                    .answer = "values, layers and ranges",
                    .handle = [calls](const Request& r) { return calls->list(r); }});
  routes.push_back({.method = Method::patch,
                    .pattern = "/v1/parameters",
                    .scope = Scope::control,
                    .summary = "Changes several at once, all or nothing; If-Match names the revision",
                    .statuses = {200, 400, 404, 409, 412, 422},
                    .request_example = R"({"set":{"min_face":0.8},"unset":["gate@cam-1"],"dry_run":false})",
                    .answer = "revision and changes",
                    .handle = [calls](const Request& r) { return calls->patch(r); }});
  routes.push_back({.method = Method::get,
                    .pattern = "/v1/parameters/{name}",
                    .summary = "One parameter",
                    .statuses = {200, 404},
                    .query = of_source,
                    .answer = "value, layer and revision",
                    .handle = [calls](const Request& r) { return calls->get(r); }});
  routes.push_back({.method = Method::put,
                    .pattern = "/v1/parameters/{name}",
                    .scope = Scope::control,
                    .summary = "Sets one",
                    .statuses = {200, 400, 404, 409, 412, 422},
                    .query = of_source,
                    .request_example = R"({"value":0.8,"persist":true})",
                    .answer = "value, layer and revision",
                    .handle = [calls](const Request& r) { return calls->put(r); }});
  routes.push_back({.method = Method::delete_,
                    .pattern = "/v1/parameters/{name}",
                    .scope = Scope::control,
                    .summary = "Uncovers the next layer",
                    .statuses = {200, 404, 409, 412, 422},
                    .query = of_source,
                    .answer = "revision and changes",
                    .handle = [calls](const Request& r) { return calls->remove(r); }});
  routes.push_back({.method = Method::get,
                    .pattern = "/v1/revisions",
                    .summary = "What was changed when and by whom",
                    .statuses = {200},
                    .answer = "revisions, oldest first",
                    .handle = [calls](const Request& r) { return calls->revisions(r); }});
  routes.push_back({.method = Method::post,
                    .pattern = "/v1/revisions/{number}/restore",
                    .scope = Scope::control,
                    .summary = "Brings the values of a revision back, as a new one",
                    .statuses = {200, 404, 409, 422},
                    .answer = "revision and changes",
                    .handle = [calls](const Request& r) { return calls->restore(r); }});
}

}  // namespace sightglass::console
