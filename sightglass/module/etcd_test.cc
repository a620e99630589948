// F-19: a configuration watch that goes silently stale. A real etcd on loopback.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <format>
#include <thread>

#include "sightglass/module/parameters.h"

namespace sightglass::module {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

int free_port() {
  const int probe = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof address;
  if (bind(probe, reinterpret_cast<sockaddr*>(&address), size) != 0) return 0;
  getsockname(probe, reinterpret_cast<sockaddr*>(&address), &size);
  close(probe);
  return ntohs(address.sin_port);
}

class Etcd {
 public:
  Etcd() {
    char name[] = "/tmp/sightglass-etcd-XXXXXX";
    folder_ = mkdtemp(name);
    client_ = free_port(), peer_ = free_port();
  }
  ~Etcd() {
    stop(SIGKILL);
    fs::remove_all(folder_);
  }
  std::string url() const { return std::format("http://127.0.0.1:{}", client_); }

  void start() {
    const std::string peer = std::format("http://127.0.0.1:{}", peer_);
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const int null = open("/dev/null", O_WRONLY);
      dup2(null, 1), dup2(null, 2);
      execlp("etcd", "etcd", "--data-dir", folder_.c_str(), "--listen-client-urls", url().c_str(),
             "--advertise-client-urls", url().c_str(), "--listen-peer-urls", peer.c_str(),
             "--initial-advertise-peer-urls", peer.c_str(), "--initial-cluster", ("default=" + peer).c_str(),
             nullptr);
      _exit(127);
    }
    const auto deadline = Clock::now() + 60s;
    while (run("endpoint health") != 0 && Clock::now() < deadline) std::this_thread::sleep_for(50ms);
  }
  void stop(int signal) {
    if (pid_ <= 0) return;
    kill(pid_, signal);
    if (signal == SIGSTOP || signal == SIGCONT) return;
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = 0;
  }
  void pause() { kill(pid_, SIGSTOP); }
  void go_on() { kill(pid_, SIGCONT); }
  int run(const std::string& command) const {
    return std::system(
        std::format("ETCDCTL_API=3 etcdctl --command-timeout=5s --endpoints={} {} >/dev/null 2>&1", url(),
                    command)
            .c_str());
  }
  void put(const std::string& key, const std::string& value) const {
    ASSERT_EQ(run(std::format("put /sightglass/gate/{} -- {}", key, value)), 0);
  }

 private:
  std::string folder_;
  int client_ = 0, peer_ = 0;
  pid_t pid_ = 0;
};

class F19 : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(std::system("command -v etcd etcdctl >/dev/null"), 0) << "etcd is part of the environment";
    server.start();
    ParameterSpec rate{.type = ParameterType::integer, .default_value = Value(1)};
    rate.per_source = true;
    rate.min = 0, rate.max = 1000;
    auto opened = ParameterStore::open({{"rate", rate}}, {.module_name = "gate",
                                                          .etcd_url = server.url(),
                                                          .etcd_prefix = "/sightglass",
                                                          .environment = {{"UNUSED", ""}}});
    ASSERT_TRUE(opened);
    store = std::move(*opened);
    ASSERT_TRUE(store->start_watching());
  }

  int64_t value(const std::string& source = {}) const {
    const auto set = store->current();
    return *set->find("rate", source)->value.integer();
  }
  // How long it took; over a minute: it did not.
  std::chrono::duration<double> until(int64_t wanted, const std::string& source = {}) const {
    const auto begin = Clock::now();
    while (value(source) != wanted && Clock::now() - begin < 60s) std::this_thread::sleep_for(5ms);
    return Clock::now() - begin;
  }

  Etcd server;
  std::unique_ptr<ParameterStore> store;
};

TEST_F(F19, ChangesArriveAndKeysForOneSourceBeatTheModules) {
  server.put("rate", "2");
  EXPECT_LT(until(2), 5s);
  server.put("rate@cam-1", "3");
  EXPECT_LT(until(3, "cam-1"), 5s);
  EXPECT_EQ(value(), 2);
  EXPECT_EQ(server.run("del --prefix /sightglass/gate/"), 0);
  EXPECT_LT(until(1), 5s);
  EXPECT_LT(until(1, "cam-1"), 5s);
}

TEST_F(F19, WhatIsReadAtTheStartOnlyIsThereAtTheStartAndWaitsLater) {
  server.put("rate", "7");
  ParameterSpec rate{.type = ParameterType::integer, .default_value = Value(1)};
  auto opened =
      ParameterStore::open({{"rate", rate}}, {.module_name = "gate",
                                              .etcd_url = server.url(),
                                              .etcd_prefix = "/sightglass",
                                              .needs_restart = [](std::string_view) { return true; },
                                              .environment = {{"UNUSED", ""}}});
  ASSERT_TRUE(opened);
  store = std::move(*opened);
  EXPECT_EQ(value(), 7);
  ASSERT_TRUE(store->start_watching());
  server.put("rate", "8");
  const auto begin = Clock::now();
  while (store->pending().empty() && Clock::now() - begin < 60s) std::this_thread::sleep_for(5ms);
  EXPECT_EQ(store->pending().size(), 1u);
  EXPECT_EQ(value(), 7);
}

TEST(Etcd, AServerThatIsAwayHoldsUpTheStartForTwoSecondsAtMost) {
  const auto begin = Clock::now();
  auto opened = ParameterStore::open({{"rate", {.type = ParameterType::integer, .default_value = Value(1)}}},
                                     {.module_name = "gate",
                                      .etcd_url = std::format("http://127.0.0.1:{}", free_port()),
                                      .etcd_prefix = "/sightglass",
                                      .environment = {{"UNUSED", ""}}});
  ASSERT_TRUE(opened);
  EXPECT_LT(Clock::now() - begin, 10s);
  EXPECT_EQ((*opened)->warnings().size(), 1u);
}

TEST_F(F19, ValueThatIsNoneLeavesTheLastGoodOne) {
  server.put("rate", "2");
  EXPECT_LT(until(2), 5s);
  server.put("rate", "many");
  server.put("rate@cam-1", "7");
  EXPECT_LT(until(7, "cam-1"), 5s);
  EXPECT_EQ(value(), 2);
  EXPECT_THAT(store->warnings(), testing::Contains(testing::HasSubstr("a whole number")));
}

TEST_F(F19, AfterARestartWithCompactionTheValuesEqualTheStore) {
  server.put("rate", "2");
  ASSERT_LT(until(2), 5s);
  server.stop(SIGKILL);
  for (const auto deadline = Clock::now() + 60s; store->etcd_is_current() && Clock::now() < deadline;)
    std::this_thread::sleep_for(10ms);
  EXPECT_FALSE(store->etcd_is_current());
  EXPECT_EQ(value(), 2);  // the last values hold
  server.start();
  for (int i = 3; i < 20; ++i) server.put("rate", std::to_string(i));
  EXPECT_EQ(server.run("compact 15"), 0);
  EXPECT_LT(until(19), 5s);
  EXPECT_TRUE(store->etcd_is_current());
}

TEST_F(F19, AServerThatOnlyHangsIsNoticed) {
  server.put("rate", "2");
  ASSERT_LT(until(2), 5s);
  server.pause();
  for (const auto deadline = Clock::now() + 60s; store->etcd_is_current() && Clock::now() < deadline;)
    std::this_thread::sleep_for(10ms);
  EXPECT_FALSE(store->etcd_is_current());
  server.go_on();
  server.put("rate", "4");
  EXPECT_LT(until(4), 5s);
}

}  // namespace
}  // namespace sightglass::module
