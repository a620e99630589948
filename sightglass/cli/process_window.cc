#include "sightglass/cli/process_window.h"

#include <algorithm>
#include <utility>

#include "sightglass/cli/version.h"
#include "sightglass/console/metrics.h"
#include "sightglass/console/tokens.h"

namespace sightglass::cli {

Result<std::unique_ptr<ProcessWindow>> ProcessWindow::open(const std::string& bind,
                                                           const std::string& token_file, View view) {
  using console::Request;
  using console::Scope;
  std::unique_ptr<ProcessWindow> window(new ProcessWindow(std::move(view)));
  const View& shown = window->view_;
  std::vector<console::Route> routes;
  const auto add = [&](std::string pattern, Scope scope, std::string summary, std::string answer,
                       auto handle) {
    routes.push_back({.method = console::Method::get,
                      .pattern = std::move(pattern),
                      .scope = scope,
                      .summary = std::move(summary),
                      .statuses = {200},
                      .answer = std::move(answer),
                      .handle = handle});
  };
  add("/livez", Scope::open, "Whether the process works", "state",
      [](const Request&) { return console::json_response({{"state", "running"}}); });
  add("/readyz", Scope::open, "Whether it does what it is there for", "state of each", [&](const Request&) {
    const bool is_ready = shown.is_ready();
    return console::json_response({{"state", is_ready ? "ready" : "waiting"}, {shown.what, shown.list()}},
                                  is_ready ? 200 : 503);
  });
  add("/metrics", Scope::read, "Metrics", "Prometheus' text", [&](const Request&) {
    const module::ModuleStatus status = shown.status();
    return console::Response{
        .content_type = "text/plain; version=0.0.4; charset=utf-8",
        .body = console::metrics_text(module::metric_families(status, {.ready = true}, {}, version,
                                                              std::max<size_t>(1, status.sources.size())))};
  });
  add("/v1/" + shown.what, Scope::read, "The " + shown.what, "state of each",
      [&](const Request&) { return console::json_response(shown.list()); });
  console::Tokens tokens;
  if (!token_file.empty()) {
    auto read = console::Tokens::read(token_file);
    if (!read) return forward_error(read);
    tokens = *std::move(read);
  }
  auto started = console::HttpServer::start({.bind = bind}, std::move(routes), std::move(tokens));
  if (!started) return forward_error(started);
  window->server_ = std::move(*started);
  return window;
}

}  // namespace sightglass::cli
