#include "sightglass/stream/zeromq/socket.h"

#include <sys/stat.h>
#include <zmq.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "sightglass/stream/zeromq/connection_watch.h"
#include "sightglass/stream/zeromq/context.h"
#include "sightglass/stream/zeromq/ipc_file.h"

namespace sightglass::stream {
namespace {

// Below this a copy costs less than the bookkeeping of a shared buffer.
constexpr size_t copied_up_to = 1024;

zmq_msg_t* as_message(unsigned char* bytes) { return reinterpret_cast<zmq_msg_t*>(bytes); }

// What ThreadSanitizer cannot see inside of ZeroMQ: bytes sent by one thread are ordered before their receipt
// by another one of this process (inproc).
std::atomic<uint64_t> handed_over{0};

int zmq_type(SocketType type) {
  switch (type) {
    case SocketType::pub:
      return ZMQ_PUB;
    case SocketType::sub:
      return ZMQ_SUB;
    case SocketType::push:
      return ZMQ_PUSH;
    case SocketType::pull:
      return ZMQ_PULL;
    case SocketType::dealer:
      return ZMQ_DEALER;
    case SocketType::router:
      return ZMQ_ROUTER;
  }
  return -1;
}

template <class T>
void set(void* socket, int option, T value) {
  zmq_setsockopt(socket, option, &value, sizeof(value));
}

std::unexpected<Error> failed(const Url& url, int error) {
  ErrorCode code = ErrorCode::io;
  if (error == EADDRINUSE || error == EADDRNOTAVAIL) code = ErrorCode::unavailable;
  if (error == EINVAL || error == ENODEV) code = ErrorCode::invalid_argument;
  return fail(code, "{}: {}", url.to_string(),
              error == ENODEV ? "no such host or interface" : zmq_strerror(error));
}

}  // namespace

MessagePart::MessagePart() { zmq_msg_init(as_message(message_)); }
MessagePart::~MessagePart() { zmq_msg_close(as_message(message_)); }
MessagePart::MessagePart(MessagePart&& other) noexcept : MessagePart() {
  zmq_msg_move(as_message(message_), as_message(other.message_));
}
MessagePart& MessagePart::operator=(MessagePart&& other) noexcept {
  if (this != &other) zmq_msg_move(as_message(message_), as_message(other.message_));
  return *this;
}

MessagePart MessagePart::copy_of(std::span<const uint8_t> bytes) {
  MessagePart part;
  if (bytes.empty()) return part;
  zmq_msg_init_size(as_message(part.message_), bytes.size());
  std::memcpy(zmq_msg_data(as_message(part.message_)), bytes.data(), bytes.size());
  return part;
}

MessagePart MessagePart::copy_of(std::string_view text) {
  return copy_of(std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

MessagePart MessagePart::share(const Payload& payload) {
  if (payload.bytes.size() <= copied_up_to) return copy_of(payload.bytes);
  MessagePart part;
  auto* owner = new std::shared_ptr<const void>(payload.owner);
  zmq_msg_init_data(
      as_message(part.message_), const_cast<uint8_t*>(payload.bytes.data()), payload.bytes.size(),
      [](void*, void* hint) { delete static_cast<std::shared_ptr<const void>*>(hint); }, owner);
  return part;
}

MessagePart MessagePart::again() const {
  MessagePart part;
  zmq_msg_copy(as_message(part.message_), as_message(message_));
  return part;
}

std::span<const uint8_t> MessagePart::bytes() const {
  zmq_msg_t* message = as_message(message_);
  return {static_cast<const uint8_t*>(zmq_msg_data(message)), zmq_msg_size(message)};
}

std::string_view MessagePart::text() const {
  const auto all = bytes();
  return {reinterpret_cast<const char*>(all.data()), all.size()};
}

struct Socket::State {
  std::shared_ptr<Context> context;
  Url url;
  void* socket = nullptr;
  std::string zap_domain;
  std::optional<ConnectionWatch> watch;
  std::vector<std::string> warnings;
  bool curve = false;

  ~State() {
    if (watch && url.bind && url.transport != Transport::inproc) {
      // ZeroMQ closes in the background; who binds the same address next need not meet the rest of this one.
      if (zmq_unbind(socket, url.endpoint().c_str()) == 0)
        watch->await_unbound(std::chrono::milliseconds(200));
    }
    watch.reset();
    if (socket) zmq_close(socket);
    if (!zap_domain.empty()) context->authenticator().forget(zap_domain);
  }

  Status open(const SocketOptions& options) {
    auto shared = Context::shared();
    if (!shared) return forward_error(shared);
    context = *shared;
    socket = zmq_socket(context->handle(), zmq_type(url.type));
    if (!socket) return failed(url, zmq_errno());
    set_options(options);
    if (Status status = check_access(options); !status) return status;
    if (Status status = set_curve(options.curve); !status) return status;
    auto started = ConnectionWatch::start(context->handle(), socket, !url.bind);
    if (!started) return forward_error(started);
    watch.emplace(std::move(*started));
    for (const std::string& topic : options.subscriptions) {
      zmq_setsockopt(socket, ZMQ_SUBSCRIBE, topic.data(), topic.size());
    }
    return url.bind ? bind() : connect();
  }

  void set_options(const SocketOptions& options) const {
    set<int>(socket, ZMQ_SNDHWM, options.high_water_mark);
    set<int>(socket, ZMQ_RCVHWM, options.high_water_mark);
    set<int64_t>(socket, ZMQ_MAXMSGSIZE, options.max_part);
    // Nothing is queued for a peer that is away. Where answers come in, ZeroMQ would throw away with the
    // connection what of them has not been read: the last acknowledgement of a reader that leaves.
    if (is_writer(url.type) && url.type != SocketType::dealer) set<int>(socket, ZMQ_IMMEDIATE, 1);
    set<int>(socket, ZMQ_HEARTBEAT_IVL, static_cast<int>(options.heartbeat.count()));
    set<int>(socket, ZMQ_HEARTBEAT_TIMEOUT, static_cast<int>(options.dead_after.count()));
    set<int>(socket, ZMQ_RECONNECT_IVL, static_cast<int>(options.reconnect_first.count()));
    set<int>(socket, ZMQ_RECONNECT_IVL_MAX, static_cast<int>(options.reconnect_most.count()));
    set<int>(socket, ZMQ_LINGER, static_cast<int>(options.linger.count()));
    if (url.type == SocketType::router) set<int>(socket, ZMQ_ROUTER_MANDATORY, 1);
    // Makes the loss at the high-water mark visible, see publish().
    if (url.type == SocketType::pub) set<int>(socket, ZMQ_XPUB_NODROP, 1);
    if (url.host.contains(':')) set<int>(socket, ZMQ_IPV6, 1);
  }

  Status check_access(const SocketOptions& options) {
    if (options.curve.enabled() || url.local() || !url.bind) return {};
    if (options.require_auth) {
      return fail(
          ErrorCode::invalid_argument,
          "{}: require_auth is set and everybody in the network could connect; give curve keys, or bind to "
          "127.0.0.1",
          url.to_string());
    }
    warnings.push_back(std::format(
        "{}: everybody in the network can connect; give curve keys, or bind to 127.0.0.1", url.to_string()));
    return {};
  }

  Status set_curve(const CurveOptions& options) {
    if (!options.enabled()) return {};
    if (options.secret_key_file.empty()) {
      return fail(ErrorCode::invalid_argument,
                  "curve.secret_key_file: missing; both sides need a key of their own");
    }
    if (!options.server_key.empty() && !options.allowed_keys_dir.empty()) {
      return fail(
          ErrorCode::invalid_argument,
          "curve: server_key makes this side the client and allowed_keys_dir the server; give one of them");
    }
    auto secret = read_key_file(options.secret_key_file, "curve.secret_key_file");
    if (!secret) return forward_error(secret);
    struct stat file{};
    if (stat(options.secret_key_file.c_str(), &file) == 0 && (file.st_mode & 07) != 0) {
      warnings.push_back(
          std::format("curve.secret_key_file: {}: everybody on this machine can read it; chmod 600",
                      options.secret_key_file));
    }
    std::array<char, 41> open_key{};
    if (zmq_curve_public(open_key.data(), secret->c_str()) != 0) {
      return fail(ErrorCode::invalid_argument, "curve.secret_key_file: {}: not a CURVE key",
                  options.secret_key_file);
    }
    curve = true;
    zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret->c_str(), 41);
    zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, open_key.data(), 41);
    if (!options.server()) {
      if (options.server_key.size() != 40 ||
          zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, options.server_key.c_str(), 41) != 0) {
        return fail(ErrorCode::invalid_argument,
                    "curve.server_key: '{}': not a public key, which has 40 characters of Z85",
                    options.server_key);
      }
      return {};
    }
    set<int>(socket, ZMQ_CURVE_SERVER, 1);
    if (options.allowed_keys_dir.empty()) return {};
    struct stat folder{};
    if (stat(options.allowed_keys_dir.c_str(), &folder) != 0 || !S_ISDIR(folder.st_mode)) {
      return fail(ErrorCode::not_found, "curve.allowed_keys_dir: {}: no such folder",
                  options.allowed_keys_dir);
    }
    static std::atomic<uint64_t> number{0};
    zap_domain = std::format("sightglass.{}", number++);
    zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, zap_domain.data(), zap_domain.size());
    return context->authenticator().admit(zap_domain, options.allowed_keys_dir);
  }

  Status bind() {
    const bool file = url.transport == Transport::ipc && !url.path.starts_with('@');
    if (file) {
      if (Status status = prepare_ipc_file(url.path); !status) return status;
    }
    if (zmq_bind(socket, url.endpoint().c_str()) != 0) return failed(url, zmq_errno());
    if (file) return protect_ipc_file(url.path);
    if (url.transport == Transport::tcp && url.port == 0) {
      std::array<char, 256> bound{};
      size_t size = bound.size();
      zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, bound.data(), &size);
      const std::string_view text(bound.data());
      url.port = static_cast<uint16_t>(std::strtoul(text.data() + text.rfind(':') + 1, nullptr, 10));
    }
    return {};
  }

  Status connect() const {
    if (zmq_connect(socket, url.endpoint().c_str()) != 0) return failed(url, zmq_errno());
    return {};
  }

  // One attempt; see Socket::send().
  Result<bool> send(std::span<const MessagePart> parts) const {
    handed_over.fetch_add(1, std::memory_order_release);
    bool sent = true;
    for (size_t i = 0; i < parts.size(); ++i) {
      MessagePart copy = parts[i].again();
      const int more = i + 1 < parts.size() ? ZMQ_SNDMORE : 0;
      if (zmq_msg_send(as_message(copy.message_), socket, ZMQ_DONTWAIT | more) >= 0) continue;
      const int error = zmq_errno();
      if (error == EHOSTUNREACH) return fail(ErrorCode::not_found, "this peer is gone");
      if (error != EAGAIN) return failed(url, error);
      if (i == 0) return false;
      // The connection ended between two parts. ZeroMQ wants the rest nevertheless, and throws it away.
      sent = false;
    }
    return sent;
  }
};

Socket::Socket(std::unique_ptr<State> state) : state_(std::move(state)) {}
Socket::Socket(Socket&&) noexcept = default;
Socket& Socket::operator=(Socket&&) noexcept = default;
Socket::~Socket() = default;

Result<Socket> Socket::open(const Url& url, const SocketOptions& options) {
  auto state = std::make_unique<State>();
  state->url = url;
  if (Status status = state->open(options); !status) return forward_error(status);
  return Socket(std::move(state));
}

Result<bool> Socket::send(std::span<const MessagePart> parts) { return state_->send(parts); }

Result<bool> Socket::publish(std::span<const MessagePart> parts) {
  auto sent = state_->send(parts);
  if (!sent || *sent) return sent;
  // Somebody is full: the others get it nevertheless.
  set<int>(state_->socket, ZMQ_XPUB_NODROP, 0);
  sent = state_->send(parts);
  set<int>(state_->socket, ZMQ_XPUB_NODROP, 1);
  if (!sent) return sent;
  return false;
}

Result<bool> Socket::receive(std::vector<MessagePart>& parts) {
  parts.clear();
  for (bool more = true; more;) {
    MessagePart& part = parts.emplace_back();
    zmq_msg_t* message = as_message(part.message_);
    while (zmq_msg_recv(message, state_->socket, ZMQ_DONTWAIT) < 0) {
      if (zmq_errno() == EINTR) continue;
      parts.clear();
      if (zmq_errno() == EAGAIN) return false;
      return failed(state_->url, zmq_errno());
    }
    more = zmq_msg_more(message) != 0;
  }
  handed_over.load(std::memory_order_acquire);
  return true;
}

void Socket::wait(const Wait& what, std::chrono::nanoseconds timeout) {
  using namespace std::chrono;
  if (const auto deadline = state_->watch->deadline()) {
    timeout = std::min<nanoseconds>(timeout, *deadline - steady_clock::now());
  }
  const short events =
      static_cast<short>((what.readable ? ZMQ_POLLIN : 0) | (what.writable ? ZMQ_POLLOUT : 0));
  std::array<zmq_pollitem_t, 3> items{};
  int count = 0;
  items[count++] = {state_->watch->handle(), 0, ZMQ_POLLIN, 0};
  if (events) items[count++] = {state_->socket, 0, events, 0};
  if (what.wakeup) items[count++] = {nullptr, what.wakeup->fd(), ZMQ_POLLIN, 0};
  const auto ms = std::clamp<int64_t>(ceil<milliseconds>(timeout).count(), 0, 3'600'000);
  zmq_poll(items.data(), count, ms);
  if (what.wakeup) what.wakeup->take();
}

const Url& Socket::url() const { return state_->url; }
const std::vector<std::string>& Socket::warnings() const { return state_->warnings; }
bool Socket::trusted() const { return state_->curve || state_->url.transport != Transport::tcp; }

const Socket::Connections& Socket::connections() {
  state_->watch->take_events();
  if (state_->watch->reconnect_needed()) {
    zmq_disconnect(state_->socket, state_->url.endpoint().c_str());
    (void)state_->connect();
  }
  return state_->watch->counts();
}

}  // namespace sightglass::stream
