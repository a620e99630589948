// The ZeroMQ context that all sockets of the process share; ends with the last of them.
#pragma once

#include <memory>
#include <optional>

#include "sightglass/core/result.h"
#include "sightglass/stream/zeromq/authentication.h"

namespace sightglass::stream {

class Context {
 public:
  static Result<std::shared_ptr<Context>> shared();
  explicit Context(void* handle) : handle_(handle), authenticator_(std::in_place, handle) {}
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  void* handle() const { return handle_; }
  Authenticator& authenticator() { return *authenticator_; }

 private:
  void* handle_;
  std::optional<Authenticator> authenticator_;
};

}  // namespace sightglass::stream
