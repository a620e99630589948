#include "sightglass/stream/zeromq/connection_watch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <zmq.h>

#include <atomic>
#include <cstring>
#include <utility>

namespace sightglass::stream {
namespace {

// More connections than this are counted, but no longer told apart.
constexpr size_t most_watched = 1024;
// ZeroMQ announces its next try in the moment of the disconnection, so this is ample.
constexpr std::chrono::milliseconds until_given_up{500};

// The peer holds the connection open and bytes of it are unread: it was our side that cut it.
bool cut_by_us(int fd) {
  pollfd poll_fd{fd, POLLRDHUP, 0};
  if (poll(&poll_fd, 1, 0) != 0) return false;  // hung up or broken
  int unread = 0;
  return ioctl(fd, FIONREAD, &unread) == 0 && unread > 0;
}

}  // namespace

Result<ConnectionWatch> ConnectionWatch::start(void* context, void* socket, bool connects) {
  static std::atomic<uint64_t> number{0};
  const std::string endpoint = std::format("inproc://sightglass.monitor.{}", number++);
  constexpr int events = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_CONNECT_RETRIED |
                         ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
                         ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                         ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
  if (zmq_socket_monitor(socket, endpoint.c_str(), events) != 0) {
    return fail(ErrorCode::internal, "ZeroMQ's monitor: {}", zmq_strerror(zmq_errno()));
  }
  void* monitor = zmq_socket(context, ZMQ_PAIR);
  if (!monitor) return fail(ErrorCode::exhausted, "ZeroMQ's monitor: {}", zmq_strerror(zmq_errno()));
  const int linger = 0;
  zmq_setsockopt(monitor, ZMQ_LINGER, &linger, sizeof(linger));
  ConnectionWatch watch(socket, monitor, connects);
  if (zmq_connect(monitor, endpoint.c_str()) != 0) {
    return fail(ErrorCode::internal, "ZeroMQ's monitor: {}", zmq_strerror(zmq_errno()));
  }
  return watch;
}

ConnectionWatch::ConnectionWatch(ConnectionWatch&& other) noexcept
    : socket_(std::exchange(other.socket_, nullptr)),
      monitor_(std::exchange(other.monitor_, nullptr)),
      connects_(other.connects_),
      counts_(other.counts_),
      accepted_(std::exchange(other.accepted_, {})),
      given_up_(other.given_up_) {}

ConnectionWatch::~ConnectionWatch() {
  if (!monitor_) return;
  zmq_socket_monitor(socket_, nullptr, 0);
  zmq_close(monitor_);
  for (const auto& [fd, duplicate] : accepted_) close(duplicate);
}

void ConnectionWatch::take_events() {
  for (;;) {
    zmq_msg_t message;
    zmq_msg_init(&message);
    // First part: event (16 bits) and value (32 bits); second: the address.
    if (zmq_msg_recv(&message, monitor_, ZMQ_DONTWAIT) < 0) {
      zmq_msg_close(&message);
      break;
    }
    uint16_t event = 0;
    int32_t value = 0;
    if (zmq_msg_size(&message) >= 6) {
      const auto* bytes = static_cast<const char*>(zmq_msg_data(&message));
      std::memcpy(&event, bytes, sizeof(event));
      std::memcpy(&value, bytes + 2, sizeof(value));
    }
    while (zmq_msg_more(&message)) {
      if (zmq_msg_recv(&message, monitor_, ZMQ_DONTWAIT) < 0) break;
    }
    zmq_msg_close(&message);

    switch (event) {
      case ZMQ_EVENT_ACCEPTED:
        if (accepted_.size() < most_watched) {
          if (const int duplicate = fcntl(value, F_DUPFD_CLOEXEC, 0); duplicate >= 0) {
            const auto [place, added] = accepted_.try_emplace(value, duplicate);
            if (!added) close(std::exchange(place->second, duplicate));
          }
        }
        break;
      case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        ++counts_.connected;
        counts_.up = connects_;
        given_up_.reset();
        break;
      case ZMQ_EVENT_CLOSED:
        unbound_ = true;
        break;
      case ZMQ_EVENT_CONNECT_RETRIED:
        given_up_.reset();
        break;
      case ZMQ_EVENT_DISCONNECTED:
        disconnected(value);
        break;
      default:
        ++counts_.handshake_failed;
        if (connects_) given_up_ = GivenUp{Clock::now() + until_given_up, false};
        break;
    }
  }
}

void ConnectionWatch::disconnected(int fd) {
  ++counts_.disconnected;
  counts_.up = false;
  if (connects_) given_up_ = GivenUp{Clock::now() + until_given_up, true};
  if (const auto found = accepted_.find(fd); found != accepted_.end()) {
    if (cut_by_us(found->second)) ++counts_.oversize;
    close(found->second);
    accepted_.erase(found);
  }
}

void ConnectionWatch::await_unbound(std::chrono::milliseconds timeout) {
  const auto until = Clock::now() + timeout;
  for (take_events(); !unbound_ && Clock::now() < until; take_events()) {
    zmq_pollitem_t item{monitor_, 0, ZMQ_POLLIN, 0};
    zmq_poll(&item, 1, std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count());
  }
}

bool ConnectionWatch::reconnect_needed() {
  if (!given_up_ || Clock::now() < given_up_->at) return false;
  if (given_up_->cut) ++counts_.oversize;
  given_up_.reset();
  return true;
}

}  // namespace sightglass::stream
