// The address of a stream: what kind of socket, which side waits, and where.
//
//   router+bind:tcp://0.0.0.0:5560      push+connect:ipc:///run/sightglass/in.sock sub+connect:inproc://a
//
//   URL = type "+" ("bind" or "connect") ":" transport
//
// type       pub, push, dealer (writers); sub, pull, router (readers)
// transport  tcp://host:port   host: a name, an IPv4 address, an IPv6 address in brackets, for bind also `*`;
//                              port: 1–65535, for bind also `*`: a free one (Socket::endpoint() tells which)
//            ipc://path        a Unix socket, at most 107 bytes; a leading `@` names an abstract one
//            inproc://name     within this process
//
// Values; parsing is pure and takes hostile text (tests/fuzz/zmq_url_fuzz.cc).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sightglass/core/result.h"

namespace sightglass::stream {

enum class SocketType : uint8_t { pub, sub, push, pull, dealer, router };
enum class Transport : uint8_t { tcp, ipc, inproc };

std::string_view to_string(SocketType type);
std::string_view to_string(Transport transport);

constexpr bool is_writer(SocketType type) {
  return type == SocketType::pub || type == SocketType::push || type == SocketType::dealer;
}
// Two-way: messages are acknowledged and schemas negotiated.
constexpr bool acknowledges(SocketType type) {
  return type == SocketType::dealer || type == SocketType::router;
}

struct Url {
  SocketType type = SocketType::push;
  bool bind = false;
  Transport transport = Transport::tcp;
  std::string host;   // tcp, without brackets; "*": every interface
  uint16_t port = 0;  // tcp; 0: a free one
  std::string path;   // ipc: the path; inproc: the name

  // Whether only this machine can reach it: ipc, inproc, 127.0.0.0/8, ::1, localhost.
  bool local() const;
  // What ZeroMQ takes: "tcp://[::1]:5560".
  std::string endpoint() const;
  // As it was parsed: "router+bind:tcp://[::1]:5560".
  std::string to_string() const;

  bool operator==(const Url&) const = default;
};

// `option` is what the user set, for the error: "source.url: …".
Result<Url> parse_url(std::string_view text, std::string_view option = "url");
// The same, and an error when the type cannot write or read.
Result<Url> parse_writer_url(std::string_view text, std::string_view option = "url");
Result<Url> parse_reader_url(std::string_view text, std::string_view option = "url");

}  // namespace sightglass::stream
