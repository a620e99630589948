// Serves a table of routes over HTTP, with a thread of its own for the sockets, two for handlers and one for
// those of routes that are open to all: however slow the others are, probes are answered.
//
//   auto server = HttpServer::start({.bind = "127.0.0.1:0"}, routes, Tokens());
//   std::string url = (*server)->url();
//
// Without tokens only this machine is served, and only under a name of this machine: a page of another site
// that makes the browser call us is refused (Host and Origin are checked). Of a body no more is kept than the
// route takes, whatever the request says of itself. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/console/route.h"
#include "sightglass/console/tokens.h"
#include "sightglass/core/result.h"

namespace sightglass::console {

struct ServerOptions {
  std::string bind = "127.0.0.1:8080";  // host:port; port 0: any free one
  std::string cert_file, key_file;      // PEM; both or none
  std::string client_ca_file;           // clients have to show a certificate of it; needs cert and key
};

class HttpServer {
 public:
  static Result<std::unique_ptr<HttpServer>> start(const ServerOptions& options, std::vector<Route> routes,
                                                   Tokens tokens);
  virtual ~HttpServer() = default;
  virtual std::string url() const = 0;
  // To everybody who listens at the route without a handler; a slow listener loses the oldest.
  virtual void send_event(std::string_view name, std::string_view json) = 0;
};

}  // namespace sightglass::console
