// A ZeroMQ socket with the options that every stream has (docs/streams.md), whole messages in and out without
// waiting, and a count of what happens to its connections.
//
//   auto socket = Socket::open(*parse_url("pull+bind:tcp://127.0.0.1:*"), {});
//   std::vector<MessagePart> parts;
//   while (*socket->receive(parts)) use(parts);      // false: nothing there now
//   socket->wait({.readable = true, .wakeup = &wakeup}, 100ms);
//
// Bytes are not copied in either direction: MessagePart::share() sends from the memory of its owner and lets
// go of that on ZeroMQ's own thread; a received MessagePart is the memory that ZeroMQ read into. Parts are
// counted, so that one can be kept and sent again.
//
// One thread at a time uses a socket. All sockets of the process share one ZeroMQ context, so inproc:// works
// between them; it ends with the last socket.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sightglass/core/result.h"
#include "sightglass/stream/delivery.h"
#include "sightglass/stream/zeromq/authentication.h"
#include "sightglass/stream/zeromq/url.h"
#include "sightglass/stream/zeromq/wakeup.h"

namespace sightglass::stream {

struct SocketOptions {
  int high_water_mark =
      64;  // messages, each way; bounds nothing while messages are small, see docs/streams.md
  int64_t max_part = 64 << 20;  // a peer that sends a larger one is disconnected
  std::chrono::milliseconds heartbeat{2000}, dead_after{6000};
  std::chrono::milliseconds reconnect_first{100}, reconnect_most{5000};
  std::chrono::milliseconds linger{200};  // how long close() goes on sending
  CurveOptions curve;
  bool require_auth = false;               // tcp beyond this machine only with curve
  std::vector<std::string> subscriptions;  // sub: prefixes of part 0
};

// One part of a message.
class MessagePart {
 public:
  MessagePart();
  ~MessagePart();
  MessagePart(MessagePart&& other) noexcept;
  MessagePart& operator=(MessagePart&& other) noexcept;

  static MessagePart copy_of(std::span<const uint8_t> bytes);
  static MessagePart copy_of(std::string_view text);
  // Small ones are copied, since that is cheaper.
  static MessagePart share(const Payload& payload);

  // The same bytes once more, counted.
  MessagePart again() const;
  std::span<const uint8_t> bytes() const;
  std::string_view text() const;
  size_t size() const { return bytes().size(); }

 private:
  friend class Socket;
  alignas(void*) mutable unsigned char message_[64];  // zmq_msg_t; counting changes it
};

class Socket {
 public:
  // Errors are those of addresses, keys and permissions, in one line for the user. Connecting succeeds
  // although nobody listens yet.
  static Result<Socket> open(const Url& url, const SocketOptions& options);
  Socket(Socket&&) noexcept;
  Socket& operator=(Socket&&) noexcept;
  ~Socket();

  // All parts or none, without waiting. False: no room or no peer; a router: this peer is full.
  // A router's first part is the routing id; a peer that has gone is an error (not_found).
  Result<bool> send(std::span<const MessagePart> parts);
  // pub: what does not fit for a slow reader is dropped for it, and the answer is false.
  Result<bool> publish(std::span<const MessagePart> parts);
  // The next whole message. False: nothing there.
  Result<bool> receive(std::vector<MessagePart>& parts);

  struct Wait {
    bool readable = false, writable = false;
    Wakeup* wakeup = nullptr;
  };
  // Until one of these, an event of a connection, or the time is over.
  void wait(const Wait& what, std::chrono::nanoseconds timeout);

  // Where it is bound, with the real port; otherwise as opened.
  const Url& url() const;
  const std::vector<std::string>& warnings() const;

  struct Connections {
    uint64_t connected = 0, disconnected = 0;  // since open(); inproc connections are not seen
    uint64_t handshake_failed = 0;             // wrong key, or no peer of ZeroMQ
    uint64_t oversize = 0;  // of the disconnected: those that ZeroMQ cut because of a part over the limit
    bool up = false;        // the one of a socket that connects stands
    bool operator==(const Connections&) const = default;
  };
  // Takes note of what happened up to now.
  const Connections& connections();
  // Whether messages can only come from this machine or from holders of a key.
  bool trusted() const;

 private:
  struct State;
  explicit Socket(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sightglass::stream
