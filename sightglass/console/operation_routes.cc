// Probes, metrics, and what there is to know of the module as a whole.
#include <algorithm>
#include <charconv>
#include <format>
#include <memory>
#include <string>
#include <utility>

#include "sightglass/console/api.h"
#include "sightglass/console/json_text.h"
#include "sightglass/console/masking.h"
#include "sightglass/console/metrics.h"
#include "sightglass/console/sink_json.h"
#include "sightglass/console/tokens.h"
#include "sightglass/module/module_file.h"
#include "sightglass/module/spec_schema.h"
#include "sightglass/stream/messages.h"

namespace sightglass::console {
namespace {

Json describe(const module::HealthReport& health) {
  Json body{{"state", health.state}, {"reasons", health.reasons}};
  if (!health.progress.step.empty()) {
    body["progress"] = {{"step", health.progress.step}, {"done", health.progress.done}};
    if (health.progress.remaining != no_time)
      body["progress"]["remaining"] = double(health.progress.remaining) * 1e-9;
    if (health.progress.total_bytes) {
      body["progress"]["bytes"] = health.progress.bytes;
      body["progress"]["total_bytes"] = health.progress.total_bytes;
    }
  }
  return body;
}

Json describe(const module::Diagnostic& found) {
  Json entry{{"path", found.path}, {"message", found.message}};
  if (!found.suggestion.empty()) entry["suggestion"] = found.suggestion;
  entry["line"] = found.origin.line;
  entry["column"] = found.origin.column;
  entry["severity"] = found.severity == module::Severity::error ? "error" : "warning";
  return entry;
}

// "pipeline.elements[0].properties.threshold": "gate.yml:12:7"
void add_origins(const module::Value& value, const std::string& path, Json& origins) {
  if (value.entries()) {
    for (const auto& [key, entry] : *value.entries())
      add_origins(entry, path.empty() ? key : std::format("{}.{}", path, key), origins);
  } else if (value.items()) {
    for (size_t i = 0; i < value.items()->size(); ++i)
      add_origins((*value.items())[i], std::format("{}[{}]", path, i), origins);
  } else if (std::string origin = value.origin.to_string(); !origin.empty()) {
    origins[path] = std::move(origin);
  }
}

class OperationRoutes {
 public:
  OperationRoutes(module::Module& module, module::AuditLog& audit, const ConsoleOptions& options)
      : module_(module), audit_(audit), options_(options) {}

  Response live() const {
    const module::HealthReport health = module_.health();
    return json_response(describe(health), health.live ? 200 : 503);
  }
  Response ready() const {
    const module::HealthReport health = module_.health();
    Json body = describe(health);
    for (const adapters::SourceStatus& source : module_.status().sources)
      body["sources"].push_back({{"id", source.source_id},
                                 {"state", adapters::to_string(source.state)},
                                 {"since", source.since},
                                 {"last_error", source.last_error}});
    return json_response(body, health.ready ? 200 : 503);
  }
  Response metrics() const {
    return {.content_type = "text/plain; version=0.0.4; charset=utf-8",
            .body = metrics_text(module::metric_families(
                module_.status(), module_.health(), module_.spec().telemetry.labels, options_.version,
                size_t(2) * std::max(1u, module_.spec().streams.max_streams)))};
  }

  Response module_state() const {
    const module::ModuleStatus status = module_.status();
    Json state = {{"name", status.name},
                  {"version", options_.version},
                  {"state", status.state},
                  {"revision", status.revision},
                  {"fingerprint", std::format("{:016x}", stream::schema_fingerprint)}};
    if (const module::TelemetryStatus& telemetry = status.telemetry;
        telemetry.is_tracing || telemetry.is_pushing)
      state["telemetry"] = {{"spans_sent", telemetry.spans_sent},
                            {"spans_dropped", telemetry.spans_dropped},
                            {"pushes", telemetry.pushes},
                            {"pushes_failed", telemetry.pushes_failed},
                            {"last_error", telemetry.last_error}};
    return json_response(state);
  }
  Response elements() const {
    Json list = Json::array();
    for (const module::ElementState& element : module_.status().elements)
      list.push_back({{"name", element.name},
                      {"type", element.type},
                      {"device", element.device},
                      {"frames", element.frames},
                      {"dropped", element.dropped},
                      {"errors", element.errors},
                      {"overruns", element.overruns},
                      {"seconds", element.seconds},
                      {"breaker", element.is_open ? "open" : "closed"},
                      {"warnings", element.warnings},
                      {"last_warning", element.last_warning}});
    return json_response(list);
  }
  Response models() const {
    Json list = Json::array();
    for (const module::ModelState& model : module_.status().models) {
      Json devices = Json::array();
      for (const auto& device : model.devices)
        devices.push_back({{"name", device.name},
                           {"streams", device.streams},
                           {"frames_per_second", device.frames_per_second},
                           {"samples", device.samples},
                           {"seconds", device.seconds}});
      list.push_back({{"name", model.name},
                      {"path", model.path},
                      {"engine", model.engine},
                      {"device", model.device},
                      {"precision", model.precision},
                      {"note", model.note},
                      {"batch_size", model.batch_size},
                      {"batches", model.batches},
                      {"samples", model.samples},
                      {"seconds", model.seconds},
                      {"devices", std::move(devices)}});
    }
    return json_response(list);
  }
  Response sinks() const { return json_response(sinks_json(module_.status().sinks)); }
  Response schema() const { return {.body = std::string(stream::schema_text())}; }

  Response audit(const Request& request) const {
    uint64_t after = 0;
    const std::string text = value_or(request.query, "after", "0");
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), after);
    if (error != std::errc{} || end != text.data() + text.size())
      return problem(400, "after is the number of an entry");
    Json list = Json::array();
    for (const module::AuditEntry& entry : audit_.after(after))
      list.push_back({{"number", entry.number},
                      {"at_us", entry.at_us},
                      {"who", entry.who},
                      {"call", entry.call},
                      {"changes", entry.changes},
                      {"revision", entry.revision},
                      {"result", entry.result}});
    return json_response(list);
  }

  Response config() const {
    const module::Value tree =
        options_.description.is_null() ? module::write_spec(module_.spec()) : options_.description;
    Json origins = Json::object();
    const module::Value masked = masked_description(tree);
    add_origins(masked, "", origins);
    return json_response({{"config", to_json(masked)}, {"origins", std::move(origins)}});
  }

  Response validate(const Request& request) const {
    const module::Diagnostics found =
        // Nothing of this machine is read for a text that came from elsewhere.
        module::load_module_text(request.body, "body", options_.folder,
                                 {.includes = false, .checks = {.files = false}})
            .diagnostics;
    Json errors = Json::array();
    for (const module::Diagnostic& diagnostic : found.items()) errors.push_back(describe(diagnostic));
    return json_response({{"valid", !found.has_errors()}, {"errors", std::move(errors)}});
  }

  Response act_on_sink(const Request& request) {
    const Json body = parse_body(request.body);
    if (!body.is_object() || !body.contains("action") || !body["action"].is_string())
      return problem(400, R"(the body is {"action": "flush", "pause" or "resume"})");
    const std::string action = body["action"].get<std::string>(), &name = request.path.at("name");
    if (action != "flush" && action != "pause" && action != "resume")
      return problem(422, "there is no action " + action, {{"action", "one of flush, pause, resume", {}}});
    const Status done = module_.act_on_sink(name, action);
    audit_.add({.who = request.who,
                .call = "POST /v1/sinks/" + name + " " + action,
                .result = done ? "accepted" : done.error().message});
    if (!done) return problem(done.error());
    return json_response({{"name", name}, {"action", action}}, 202);
  }

  Response shutdown(const Request& request) {
    const Json body = request.body.empty() ? Json::object() : parse_body(request.body);
    std::vector<FieldError> wrong;
    if (!body.is_object())
      return problem(400, R"(the body is {"mode": "drain", "deadline_ms": 30000, "token": …})");
    module::ShutdownOptions wanted;
    if (const auto mode = body.find("mode"); mode != body.end()) {
      if (*mode == "now")
        wanted.mode = module::ShutdownMode::now;
      else if (*mode != "drain")
        wrong.push_back({"mode", "drain or now", {}});
    }
    if (const auto deadline = body.find("deadline_ms"); deadline != body.end()) {
      if (deadline->is_number_integer() && deadline->get<int64_t>() >= 0 &&
          deadline->get<int64_t>() <= 86'400'000)
        wanted.deadline_ms = deadline->get<int>();
      else
        wrong.push_back({"deadline_ms", "0 to 86400000", {}});
    }
    if (!wrong.empty()) return problem(422, "the body is not as it should be", wrong);
    const auto token = body.find("token");
    const bool granted = options_.shutdown_token.empty() ||
                         (token != body.end() && token->is_string() &&
                          equal_in_constant_time(token->get<std::string>(), options_.shutdown_token));
    audit_.add(
        {.who = request.who, .call = "POST /v1/shutdown", .result = granted ? "accepted" : "wrong token"});
    if (!granted) return problem(403, "token is not that of security.shutdown_token_file");
    if (!options_.on_shutdown) return problem(409, "this module is ended by the program that runs it");
    options_.on_shutdown(wanted);
    return json_response({{"mode", wanted.mode == module::ShutdownMode::now ? "now" : "drain"}}, 202);
  }

 private:
  module::Module& module_;
  module::AuditLog& audit_;
  const ConsoleOptions options_;
};

}  // namespace

void add_operation_routes(module::Module& module, module::AuditLog& audit, const ConsoleOptions& options,
                          std::vector<Route>& routes) {
  const auto calls = std::make_shared<OperationRoutes>(module, audit, options);
  const auto get = [&](std::string pattern, Scope scope, std::string summary, std::string answer,
                       Response (OperationRoutes::*call)() const, std::vector<int> statuses = {200}) {
    routes.push_back({.method = Method::get,
                      .pattern = std::move(pattern),
                      .scope = scope,
                      .summary = std::move(summary),
                      .statuses = std::move(statuses),
                      .answer = std::move(answer),
                      .handle = [calls, call](const Request&) { return ((*calls).*call)(); }});
  };
  get("/livez", Scope::open, "Whether the process works; restart it when not", "state",
      &OperationRoutes::live, {200, 503});
  get("/readyz", Scope::open, "Whether models are loaded and frames flow",
      "state; why not, how far it has loaded", &OperationRoutes::ready, {200, 503});
  get("/metrics", Scope::read, "Everything that is counted, for Prometheus", "text format",
      &OperationRoutes::metrics);
  get("/v1/module", Scope::read, "Name, version, state, revision", "the module",
      &OperationRoutes::module_state);
  get("/v1/elements", Scope::read, "Elements and what went through them", "a list",
      &OperationRoutes::elements);
  get("/v1/models", Scope::read, "Models and what runs them", "a list", &OperationRoutes::models);
  get("/v1/sinks", Scope::read, "Sinks and their queues", "a list", &OperationRoutes::sinks);
  get("/v1/schema", Scope::read, "Schema of the messages", "Avro schema", &OperationRoutes::schema);
  get("/v1/config", Scope::read, "The description in force, secrets masked", "a tree",
      &OperationRoutes::config);
  routes.push_back({.method = Method::get,
                    .pattern = "/v1/audit",
                    .scope = Scope::control,
                    .summary = "Who changed what",
                    .statuses = {200, 400},
                    .query = {{"after", "only entries behind this number"}},
                    .answer = "entries, oldest first",
                    .handle = [calls](const Request& r) { return calls->audit(r); }});
  routes.push_back({.method = Method::post,
                    .pattern = "/v1/config/validate",
                    .scope = Scope::read,
                    .summary = "Checks a description (YAML) and runs nothing",
                    .statuses = {200},
                    .answer = "whether it is valid, and errors with lines",
                    .handle = [calls](const Request& r) { return calls->validate(r); },
                    .takes_json = false});
  routes.push_back({.method = Method::post,
                    .pattern = "/v1/sinks/{name}/actions",
                    .scope = Scope::control,
                    .summary = "flush, pause, resume",
                    .statuses = {202, 400, 404, 422},
                    .request_example = R"({"action":"flush"})",
                    .answer = "accepted",
                    .handle = [calls](const Request& r) { return calls->act_on_sink(r); }});
  routes.push_back({.method = Method::post,
                    .pattern = "/v1/shutdown",
                    .scope = Scope::control,
                    .summary = "Ends the process: drain, or now",
                    .statuses = {202, 400, 409, 422},
                    .request_example = R"({"mode":"drain","deadline_ms":30000})",
                    .answer = "accepted",
                    .handle = [calls](const Request& r) { return calls->shutdown(r); }});
}

}  // namespace sightglass::console
