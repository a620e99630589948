// A server on the loopback for tests, that misbehaves as told: a function per connection writes what it
// likes.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <format>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace sightglass::test {

class HttpServer {
 public:
  class Connection {
   public:
    Connection(HttpServer& server, int socket, int place, std::string asked)
        : number(place), request(std::move(asked)), server_(server), socket_(socket) {}
    void send(std::string_view bytes) const {
      while (!bytes.empty()) {
        const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent <= 0) return;
        bytes.remove_prefix(size_t(sent));
      }
    }
    void send_header(size_t length) const {
      send(std::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", length));
    }
    // Says nothing more until the client goes away or the server ends.
    void stall() const {
      server_.stalled();
      pollfd both[] = {{socket_, POLLRDHUP, 0}, {server_.wake_[0], POLLIN, 0}};
      ::poll(both, 2, -1);
    }
    const int number;           // from 0
    const std::string request;  // its line and header

   private:
    HttpServer& server_;
    int socket_;
  };
  using Handler = std::function<void(const Connection&)>;

  explicit HttpServer(Handler handler) : handler_(std::move(handler)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 8) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0 || ::pipe(wake_) != 0)
      throw std::runtime_error("no server");
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this] { run(); });
  }
  ~HttpServer() {
    ::close(wake_[1]);
    thread_.join();
    ::close(wake_[0]);
    ::close(listener_);
  }

  std::string url(std::string_view name = "video.mkv") const {
    return std::format("http://127.0.0.1:{}/{}", port_, name);
  }
  int connections() const { return connections_; }
  // Waits until a connection stalls.
  void wait_for_stall() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stalls_ > 0; });
  }

 private:
  void stalled() {
    {
      std::lock_guard lock(mutex_);
      ++stalls_;
    }
    changed_.notify_all();
  }
  // One connection at a time.
  void run() {
    while (true) {
      pollfd both[] = {{listener_, POLLIN, 0}, {wake_[0], POLLIN, 0}};
      ::poll(both, 2, -1);
      if (both[1].revents) return;
      const int socket = ::accept(listener_, nullptr, nullptr);
      if (socket < 0) continue;
      std::string request;
      char byte;
      while (!request.ends_with("\r\n\r\n") && ::recv(socket, &byte, 1, 0) == 1) request += byte;
      handler_(Connection(*this, socket, connections_++, std::move(request)));
      ::close(socket);
    }
  }

  Handler handler_;
  int listener_ = -1, wake_[2] = {-1, -1};
  int port_ = 0;
  std::atomic<int> connections_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  int stalls_ = 0;
  std::jthread thread_;
};

}  // namespace sightglass::test
