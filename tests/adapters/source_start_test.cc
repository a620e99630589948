// A shutdown finds a source that waits for a server which takes the connection and never answers, or does not
// even take it.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <format>
#include <fstream>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "sightglass/module/runner_test_support.h"

namespace sightglass::module {
namespace {

using namespace testing;

// A socket on a free port of the loopback.
struct Listener {
  explicit Listener(int backlog) : socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(socket, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(socket, backlog), 0);
    EXPECT_EQ(getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size), 0);
  }
  ~Listener() { close(socket); }
  Listener(const Listener&) = delete;
  std::string text() const { return std::format("127.0.0.1:{}", ntohs(address.sin_port)); }

  const int socket;
  sockaddr_in address{};
};

// Takes connections and keeps them; says nothing.
class SilentServer {
 public:
  SilentServer()
      : thread_([this] {
          for (int taken; (taken = accept(listener_.socket, nullptr, nullptr)) >= 0; ++connections)
            taken_.push_back(taken);
        }) {}
  ~SilentServer() {
    shutdown(listener_.socket, SHUT_RDWR);
    thread_.join();
    for (const int taken : taken_) close(taken);
  }
  std::string address() const { return listener_.text(); }
  std::atomic<int> connections{0};

 private:
  const Listener listener_{16};
  std::vector<int> taken_;
  std::jthread thread_;
};

// Has taken as many connections as it does: what comes now gets no answer at all, and is tried again by the
// system for minutes.
class FullServer {
 public:
  FullServer() : first_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    EXPECT_EQ(
        connect(first_, reinterpret_cast<const sockaddr*>(&listener_.address), sizeof listener_.address), 0);
  }
  ~FullServer() { close(first_); }
  std::string address() const { return listener_.text(); }
  // Whether somebody waits to be taken: state SYN_SENT, 02, of the kernel's table.
  bool has_callers() const {
    std::ifstream table("/proc/net/tcp");
    const std::string caller = std::format("0100007F:{:04X} 02", ntohs(listener_.address.sin_port));
    for (std::string line; std::getline(table, line);)
      if (line.contains(caller)) return true;
    return false;
  }

 private:
  const Listener listener_{0};
  const int first_;
};

struct Kind {
  const char *name, *type, *key, *url;  // {}: host and port
};
constexpr Kind kinds[] = {{"kafka", "kafka", "brokers", "{}"},
                          {"http", "video_file", "location", "http://{}/film.mp4"},
                          {"picture", "image_file", "location", "http://{}/picture.jpg"},
                          {"multi", "multi", "location", "http://{}/film.mp4"},
                          {"ffmpeg", "ffmpeg", "url", "http://{}/film.ts"},
                          {"mqtt", "mqtt", "url", "mqtt://{}"}};

class SourceStart : public ::testing::TestWithParam<std::tuple<Kind, ShutdownMode>> {};

// How a shutdown goes, of a module with a source of this kind at this address.
void expect_quick_end(const Kind& kind, ShutdownMode mode, const std::string& address,
                      const std::function<bool()>& is_waiting) {
  FakeWorld world;
  ModuleSpec spec = quick_spec();
  SourceSpec from{.type = kind.type, .properties = Value::map()};
  from.properties.set(kind.key, std::vformat(kind.url, std::make_format_args(address)));
  const std::string type = kind.type;
  if (type == "kafka" || type == "mqtt") from.properties.set("topics", "frames");
  spec.pipeline.sources.push_back(std::move(from));
  auto module = create_module(spec, fake_hooks(world));
  ASSERT_TRUE(module) << module.error().message;
  auto started = std::async(std::launch::async, [&] { return (*module)->start(); });
  ASSERT_TRUE(eventually(is_waiting));
  const auto begin = std::chrono::steady_clock::now();
  const Outcome outcome = (*module)->shutdown({.mode = mode});
  // What they would wait for lasts five seconds and more.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 4s);
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_TRUE(outcome.missing.empty()) << outcome.missing[0];
  if (const Status status = started.get(); !status) {
    EXPECT_EQ(status.error().code, ErrorCode::cancelled) << status.error().message;
  }
}

TEST_P(SourceStart, DoesNotHoldUpAShutdown) {
  const auto& [kind, mode] = GetParam();
  SilentServer server;
  expect_quick_end(kind, mode, server.address(), [&] { return server.connections > 0; });
}

TEST_P(SourceStart, DoesNotHoldUpAShutdownWhereNobodyTakesItsConnection) {
  const auto& [kind, mode] = GetParam();
  const FullServer server;
  expect_quick_end(kind, mode, server.address(), [&] { return server.has_callers(); });
}

INSTANTIATE_TEST_SUITE_P(, SourceStart,
                         ::testing::Combine(::testing::ValuesIn(kinds),
                                            ::testing::Values(ShutdownMode::drain, ShutdownMode::now)),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param).name) +
                                  (std::get<1>(test.param) == ShutdownMode::now ? "Now" : "Drain");
                         });

}  // namespace
}  // namespace sightglass::module
