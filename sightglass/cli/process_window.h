// Probes, metrics and states of an adapter's own process over HTTP, as those of a module:
//
//   /livez  /readyz  /metrics  /v1/streams or /v1/sinks
//
// What it asks for comes from the process, on threads of the server's own.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "sightglass/console/http_server.h"
#include "sightglass/console/json_text.h"
#include "sightglass/module/module.h"

namespace sightglass::cli {

class ProcessWindow {
 public:
  struct View {
    std::string what;  // "streams", "sinks"
    std::function<bool()> is_ready;
    std::function<console::Json()> list;
    std::function<module::ModuleStatus()> status;
  };
  // `view` has to be good for as long as the window is open. `token_file`: who may ask for more than the
  // probes; needed where other machines can ask. Empty: everybody of this machine.
  static Result<std::unique_ptr<ProcessWindow>> open(const std::string& bind, const std::string& token_file,
                                                     View view);
  std::string url() const { return server_->url(); }

 private:
  explicit ProcessWindow(View view) : view_(std::move(view)) {}

  const View view_;
  std::unique_ptr<console::HttpServer> server_;
};

}  // namespace sightglass::cli
