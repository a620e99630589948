// Counts what happens to the connections of one ZeroMQ socket, from the events of its monitor.
//
// ZeroMQ cuts a connection on which a part over the limit is announced, and says no more about it than that
// the connection has ended. What gives the case away is the file descriptor: the peer has not hung up, and
// bytes that nobody will read are still waiting in it. So accepted connections are watched through a
// duplicate of theirs; one that is cut before its start was noted here counts as disconnected only. A socket
// that connected itself gives up its peer after such an end and after a refused handshake, where it tries
// again after any other end; then it has to be connected anew, which reconnect_needed() asks for.
//
// Used by the thread of the socket.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>

#include "sightglass/core/result.h"
#include "sightglass/stream/zeromq/socket.h"

namespace sightglass::stream {

class ConnectionWatch {
 public:
  using Clock = std::chrono::steady_clock;

  // `connects`: the socket connects rather than binds.
  static Result<ConnectionWatch> start(void* context, void* socket, bool connects);
  ConnectionWatch(ConnectionWatch&& other) noexcept;
  ConnectionWatch& operator=(ConnectionWatch&&) = delete;
  ~ConnectionWatch();

  // What to poll for reading.
  void* handle() const { return monitor_; }
  void take_events();
  const Socket::Connections& counts() const { return counts_; }
  // Until a socket that was unbound has really let go of its address.
  void await_unbound(std::chrono::milliseconds timeout);
  // True once: ZeroMQ has given up the peer that we connected to.
  bool reconnect_needed();
  // When reconnect_needed() may become true.
  std::optional<Clock::time_point> deadline() const {
    return given_up_ ? std::optional(given_up_->at) : std::nullopt;
  }

 private:
  // No further try was announced. `cut`: the connection had stood before.
  struct GivenUp {
    Clock::time_point at;
    bool cut = false;
  };
  ConnectionWatch(void* socket, void* monitor, bool connects)
      : socket_(socket), monitor_(monitor), connects_(connects) {}
  void disconnected(int fd);

  void* socket_ = nullptr;
  void* monitor_ = nullptr;
  bool connects_ = false;
  Socket::Connections counts_;
  std::map<int, int> accepted_;  // descriptor of ZeroMQ → our duplicate
  std::optional<GivenUp> given_up_;
  bool unbound_ = false;
};

}  // namespace sightglass::stream
