#include "sightglass/stream/zeromq/context.h"

#include <zmq.h>

#include <mutex>

namespace sightglass::stream {

Result<std::shared_ptr<Context>> Context::shared() {
  static std::mutex mutex;
  static std::weak_ptr<Context> current;
  std::lock_guard lock(mutex);
  if (auto context = current.lock()) return context;
  void* handle = zmq_ctx_new();
  if (!handle) return fail(ErrorCode::exhausted, "ZeroMQ: {}", zmq_strerror(zmq_errno()));
  // Each socket of ours needs three: itself and both ends of its monitor.
  zmq_ctx_set(handle, ZMQ_MAX_SOCKETS, 8192);
  auto context = std::make_shared<Context>(handle);
  current = context;
  return context;
}

Context::~Context() {
  authenticator_.reset();
  while (zmq_ctx_term(handle_) != 0 && zmq_errno() == EINTR) {
  }
}

}  // namespace sightglass::stream
