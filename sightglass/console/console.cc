#include "sightglass/console/console.h"

#include <filesystem>
#include <utility>

#include "sightglass/console/api.h"
#include "sightglass/console/http_server.h"
#include "sightglass/console/json_text.h"

namespace sightglass::console {
namespace {

class RunningConsole final : public Console {
 public:
  RunningConsole(module::Module& module, std::unique_ptr<HttpServer> server) : server_(std::move(server)) {
    events_ = module.subscribe_events([this](const module::StreamEvent& event) {
      server_->send_event("stream", to_text({{"id", event.source_id},
                                             {"from", event.from},
                                             {"to", event.to},
                                             {"reason", event.reason},
                                             {"at_us", event.at_us}}));
    });
  }
  std::string url() const override { return server_->url(); }

 private:
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<module::Subscription> events_;
};

// A path of http.tls.
std::string path_of(const module::HttpSpec& http, std::string_view key, const std::string& folder) {
  const module::Value* value = http.tls.find(key);
  if (!value || !value->text() || value->text()->empty()) return {};
  return (std::filesystem::path(folder) / *value->text()).lexically_normal().string();
}

}  // namespace

std::vector<Route> routes(module::Module& module, module::AuditLog& audit, const ConsoleOptions& options) {
  std::vector<Route> all;
  add_operation_routes(module, audit, options, all);
  add_parameter_routes(module, all);
  add_stream_routes(module, audit, all);
  all.push_back({.method = Method::get,
                 .pattern = "/v1/openapi.json",
                 .summary = "This document",
                 .statuses = {200},
                 .answer = "OpenAPI 3.1"});
  const std::string document = openapi(all, options.version);
  all.back().handle = [document](const Request&) { return Response{.body = document}; };
  return all;
}

Result<std::unique_ptr<Console>> Console::start(module::Module& module, module::AuditLog& audit,
                                                const ConsoleOptions& options) {
  Tokens tokens;
  if (!options.http.token_file.empty()) {
    auto read =
        Tokens::read((std::filesystem::path(options.folder) / options.http.token_file).lexically_normal());
    if (!read) return forward_error(read);
    tokens = std::move(*read);
  }
  const ServerOptions server{.bind = options.http.bind,
                             .cert_file = path_of(options.http, "cert", options.folder),
                             .key_file = path_of(options.http, "key", options.folder),
                             .client_ca_file = path_of(options.http, "ca", options.folder)};
  if (server.cert_file.empty() != server.key_file.empty())
    return fail(ErrorCode::invalid_argument, "http.tls: cert and key belong together");
  if (!server.client_ca_file.empty() && server.cert_file.empty())
    return fail(ErrorCode::invalid_argument,
                "http.tls: ca asks clients for certificates, which needs cert and key");
  auto started = HttpServer::start(server, routes(module, audit, options), std::move(tokens));
  if (!started) return forward_error(started);
  return std::make_unique<RunningConsole>(module, std::move(*started));
}

}  // namespace sightglass::console
