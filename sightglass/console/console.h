// The window into a running module: HTTP API, probes, metrics and events (docs/operations.md). It only looks
// at the module and calls it; frames never wait for it.
//
//   auto console = Console::start(module, {.http = spec.http}, …);
//   std::println("{}", (*console)->url());   // http://127.0.0.1:8080
//
// Thread-safe. Ends before the module.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sightglass/console/route.h"
#include "sightglass/core/result.h"
#include "sightglass/module/audit_log.h"
#include "sightglass/module/module.h"

namespace sightglass::console {

struct ConsoleOptions {
  module::HttpSpec http;
  std::string folder;          // that relative paths start from
  std::string shutdown_token;  // that POST /v1/shutdown has to name; empty: a token with control is enough
  std::string version;         // of Sightglass
  module::Value description;   // as loaded, with origins; null: what the module says of itself
  // Asks for the end of the process; returns at once.
  std::function<void(const module::ShutdownOptions&)> on_shutdown;
};

class Console {
 public:
  static Result<std::unique_ptr<Console>> start(module::Module& module, module::AuditLog& audit,
                                                const ConsoleOptions& options);
  virtual ~Console() = default;
  virtual std::string url() const = 0;
};

// All routes, for the server and for the tests of its document.
std::vector<Route> routes(module::Module& module, module::AuditLog& audit, const ConsoleOptions& options);

}  // namespace sightglass::console
