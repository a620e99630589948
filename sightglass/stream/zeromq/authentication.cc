#include "sightglass/stream/zeromq/authentication.h"

#include <zmq.h>

#include <fstream>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include "sightglass/stream/zeromq/wakeup.h"

namespace sightglass::stream {
namespace {

namespace fs = std::filesystem;

constexpr size_t key_length = 40;
constexpr std::string_view z85 =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

bool is_key(std::string_view text) {
  return text.size() == key_length && text.find_first_not_of(z85) == text.npos;
}

std::optional<std::string> first_key(const fs::path& file) {
  std::error_code error;
  if (!fs::is_regular_file(file, error)) return std::nullopt;
  std::ifstream in(file);
  std::string start(4096, '\0');
  in.read(start.data(), static_cast<std::streamsize>(start.size()));
  start.resize(static_cast<size_t>(in.gcount()));
  constexpr std::string_view space = " \t\r\n\"";
  for (size_t begin = start.find_first_not_of(space); begin != start.npos;) {
    const size_t end = std::min(start.find_first_of(space, begin), start.size());
    if (is_key(std::string_view(start).substr(begin, end - begin))) return start.substr(begin, end - begin);
    begin = start.find_first_not_of(space, end);
  }
  return std::nullopt;
}

std::optional<std::vector<std::string>> receive_all(void* socket) {
  std::vector<std::string> parts;
  for (int more = 1; more;) {
    zmq_msg_t message;
    zmq_msg_init(&message);
    if (zmq_msg_recv(&message, socket, ZMQ_DONTWAIT) < 0) {
      zmq_msg_close(&message);
      return std::nullopt;
    }
    parts.emplace_back(static_cast<const char*>(zmq_msg_data(&message)), zmq_msg_size(&message));
    more = zmq_msg_more(&message);
    zmq_msg_close(&message);
  }
  return parts;
}

}  // namespace

Result<std::string> read_key_file(const fs::path& file, std::string_view option) {
  std::error_code error;
  if (!fs::exists(file, error))
    return fail(ErrorCode::not_found, "{}: {}: no such file", option, file.string());
  if (auto key = first_key(file)) return *key;
  return fail(ErrorCode::invalid_argument,
              "{}: {}: no key in it, which has 40 characters of Z85 (see curve_keygen)", option,
              file.string());
}

bool key_is_allowed(const fs::path& folder, std::string_view public_key) {
  std::error_code error;
  size_t files = 0;
  for (fs::directory_iterator file(folder, error), end; !error && file != end && files < 10'000; ++files) {
    if (first_key(file->path()) == public_key) return true;
    file.increment(error);
  }
  return false;
}

struct Authenticator::State {
  void* context = nullptr;
  std::mutex mutex;
  std::map<std::string, fs::path> folders;
  void* socket = nullptr;
  Wakeup stop;
  std::jthread thread;

  bool allowed(const std::string& domain, const std::string& key) {
    fs::path folder;
    {
      std::lock_guard lock(mutex);
      const auto found = folders.find(domain);
      // Domains that nobody restricted are those of servers without a folder.
      if (found == folders.end()) return domain.empty();
      folder = found->second;
    }
    return key_is_allowed(folder, key);
  }

  // Request: version, request id, domain, address, routing id, mechanism, credentials.
  void answer(const std::vector<std::string>& request) {
    if (request.size() < 2) return;
    std::string key;
    if (request.size() == 7 && request[5] == "CURVE" && request[6].size() == 32) {
      std::array<char, key_length + 1> text{};
      zmq_z85_encode(text.data(), reinterpret_cast<const uint8_t*>(request[6].data()), 32);
      key = text.data();
    }
    const bool good = request[0] == "1.0" && !key.empty() && allowed(request[2], key);
    const std::array<std::string, 6> reply = {
        "1.0", request[1], good ? "200" : "400", good ? "OK" : "unknown key", good ? key : "", ""};
    for (size_t i = 0; i < reply.size(); ++i) {
      zmq_send(socket, reply[i].data(), reply[i].size(), i + 1 < reply.size() ? ZMQ_SNDMORE : 0);
    }
  }

  void run(const std::stop_token& stopping) {
    while (!stopping.stop_requested()) {
      zmq_pollitem_t items[] = {{socket, 0, ZMQ_POLLIN, 0}, {nullptr, stop.fd(), ZMQ_POLLIN, 0}};
      if (zmq_poll(items, 2, -1) < 0 && zmq_errno() == ETERM) break;
      if (items[0].revents & ZMQ_POLLIN) {
        if (const auto request = receive_all(socket)) answer(*request);
      }
    }
  }
};

Authenticator::Authenticator(void* context) : state_(std::make_unique<State>()) { state_->context = context; }

Authenticator::~Authenticator() {
  if (!state_->socket) return;
  state_->thread.request_stop();
  state_->stop.wake();
  state_->thread.join();
  zmq_close(state_->socket);
}

Status Authenticator::admit(const std::string& domain, const fs::path& folder) {
  std::lock_guard lock(state_->mutex);
  if (!state_->socket) {
    void* socket = zmq_socket(state_->context, ZMQ_REP);
    if (!socket || zmq_bind(socket, "inproc://zeromq.zap.01") != 0) {
      const int error = zmq_errno();
      if (socket) zmq_close(socket);
      return fail(ErrorCode::internal, "key check of ZeroMQ: {}", zmq_strerror(error));
    }
    const int linger = 0;
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof(linger));
    state_->socket = socket;
    state_->thread =
        std::jthread([state = state_.get()](const std::stop_token& stopping) { state->run(stopping); });
  }
  state_->folders[domain] = folder;
  return {};
}

void Authenticator::forget(const std::string& domain) {
  std::lock_guard lock(state_->mutex);
  state_->folders.erase(domain);
}

}  // namespace sightglass::stream
