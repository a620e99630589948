// The fault proxy, and what the tests of servers stand on.
#include "tests/servers/server_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <thread>

namespace sightglass::test {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// A client that talks to what answers with what it was told.
class Talk {
 public:
  explicit Talk(int port) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    const sockaddr_in address{.sin_family = AF_INET,
                              .sin_port = htons(static_cast<uint16_t>(port)),
                              .sin_addr = {htonl(INADDR_LOOPBACK)},
                              .sin_zero = {}};
    connected_ = connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    wait_at_most(20s);
  }
  ~Talk() { close(socket_); }
  bool connected() const { return connected_; }
  void wait_at_most(std::chrono::milliseconds limit) {
    const timeval time{.tv_sec = limit / 1s, .tv_usec = limit % 1s / 1us};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
  }
  void say(const std::string& text) {
    EXPECT_EQ(send(socket_, text.data(), text.size(), MSG_NOSIGNAL), ssize_t(text.size()));
  }
  // Until so many bytes have come, or the end.
  std::string hear(size_t count) {
    std::string text(count, 0);
    size_t size = 0;
    while (size < count) {
      const ssize_t got = recv(socket_, text.data() + size, count - size, 0);
      error_ = got < 0 ? errno : 0;
      if (got <= 0) break;
      size += static_cast<size_t>(got);
    }
    text.resize(size);
    return text;
  }
  int error() const { return error_; }

 private:
  int socket_;
  bool connected_ = false;
  int error_ = 0;
};

class FaultProxy : public testing::Test {
 protected:
  // Answers with what it is sent.
  ServerProcess echo = ServerProcess::script("echo_server.py");
  ServerProcess proxy = ServerProcess::script("fault_proxy.py", {"--to", echo.address()});
};

TEST_F(FaultProxy, PassesBothDirectionsWhenNothingIsSet) {
  Talk talk(proxy.port());
  talk.say("hello");
  EXPECT_EQ(talk.hear(5), "hello");
  const std::string much(1 << 20, 'x');
  std::thread sender([&] { talk.say(much); });
  EXPECT_EQ(talk.hear(much.size()), much);
  sender.join();
  EXPECT_EQ(proxy.control("state")["up"], 5 + much.size());
  EXPECT_EQ(proxy.control("state")["open"], 1);
}

TEST_F(FaultProxy, DelaysAndThrottles) {
  Talk talk(proxy.port());
  proxy.control("set", {{"delay", 0.2}, {"direction", "up"}});
  auto begin = Clock::now();
  talk.say("hello");
  EXPECT_EQ(talk.hear(5), "hello");
  EXPECT_GE(Clock::now() - begin, 190ms);
  proxy.control("clear");
  proxy.control("set", {{"rate", 50000}, {"direction", "down"}});
  begin = Clock::now();
  talk.say(std::string(20000, 'x'));
  EXPECT_EQ(talk.hear(20000).size(), 20000u);
  EXPECT_GE(Clock::now() - begin, 350ms);
}

TEST_F(FaultProxy, ResetsAndGoesOnWithNewConnections) {
  Talk talk(proxy.port());
  talk.say("hello");
  EXPECT_EQ(talk.hear(5), "hello");
  EXPECT_EQ(proxy.control("reset")["connections"], 1);
  EXPECT_EQ(talk.hear(1), "");
  EXPECT_EQ(talk.error(), ECONNRESET);
  Talk again(proxy.port());
  again.say("hello");
  EXPECT_EQ(again.hear(5), "hello");
  EXPECT_EQ(proxy.control("close")["connections"], 1);
  EXPECT_EQ(again.hear(1), "");
  EXPECT_EQ(again.error(), 0);
}

TEST_F(FaultProxy, SwallowsSilentlyAndDeliversLater) {
  Talk talk(proxy.port());
  proxy.control("set", {{"black_hole", true}});
  talk.say("hello");
  talk.wait_at_most(200ms);
  EXPECT_EQ(talk.hear(5), "");
  EXPECT_EQ(talk.error(), EAGAIN);
  Talk meanwhile(proxy.port());
  EXPECT_TRUE(meanwhile.connected());
  proxy.control("clear");
  talk.wait_at_most(20s);
  EXPECT_EQ(talk.hear(5), "hello");
  meanwhile.say("there");
  EXPECT_EQ(meanwhile.hear(5), "there");
}

TEST_F(FaultProxy, CutsAfterSoManyBytesAndSoManyTimes) {
  proxy.control("set", {{"cut_after", 3}, {"times", 1}, {"direction", "down"}});
  Talk talk(proxy.port());
  talk.say("hello");
  EXPECT_EQ(talk.hear(5), "hel");
  EXPECT_EQ(talk.error(), ECONNRESET);
  Talk again(proxy.port());
  again.say("hello");
  EXPECT_EQ(again.hear(5), "hello");
}

TEST_F(FaultProxy, MakesNoiseOfWhatPassesAndCountsTheSame) {
  Talk talk(proxy.port());
  proxy.control("set", {{"garbage", true}, {"direction", "down"}});
  talk.say(std::string(1000, 'x'));
  const std::string heard = talk.hear(1000);
  EXPECT_EQ(heard.size(), 1000u);
  EXPECT_LT(std::ranges::count(heard, 'x'), 50);
  proxy.control("clear");
  talk.say("hello");
  EXPECT_EQ(talk.hear(5), "hello");
}

TEST_F(FaultProxy, RefusesAndListensAgainOnTheSamePort) {
  Talk before(proxy.port());
  before.say("a");
  EXPECT_EQ(before.hear(1), "a");
  proxy.control("set", {{"refuse", true}});
  EXPECT_FALSE(Talk(proxy.port()).connected());
  before.say("b");
  EXPECT_EQ(before.hear(1), "b");  // who is in stays in
  proxy.control("clear");
  EXPECT_TRUE(Talk(proxy.port()).connected());
}

TEST_F(FaultProxy, SaysWhatItDoesNotKnow) {
  EXPECT_THROW(proxy.control("set", {{"speed", 3}}), std::runtime_error);
  EXPECT_THROW(proxy.control("explode"), std::runtime_error);
}

TEST(ServerProcess, APausedServerSaysNothingAndGoesOn) {
  ServerProcess echo = ServerProcess::script("echo_server.py");
  Talk talk(echo.port());
  talk.say("a");
  EXPECT_EQ(talk.hear(1), "a");
  echo.pause();
  talk.say("b");
  talk.wait_at_most(100ms);
  EXPECT_EQ(talk.hear(1), "");
  echo.go_on();
  talk.wait_at_most(20s);
  EXPECT_EQ(talk.hear(1), "b");
  const int port = echo.port();
  echo.stop();
  EXPECT_FALSE(echo.running());
  EXPECT_FALSE(Talk(port).connected());
  echo.restart();
  EXPECT_EQ(echo.port(), port);
  EXPECT_TRUE(Talk(port).connected());
}

TEST(ServerProcess, AServerDiesWithTheThreadThatStartedItEvenWhilePaused) {
  std::optional<ServerProcess> echo;
  std::thread starter([&] {
    echo.emplace(ServerProcess::script("echo_server.py"));
    echo->pause();
  });
  starter.join();
  EXPECT_TRUE(eventually([&] { return !Talk(echo->port()).connected(); }));
}

TEST(ServerProcess, WhatDoesNotStartSaysWhy) {
  try {
    ServerProcess::script("fault_proxy.py", {"--frobnicate"});
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("required: --to"));
  }
}

TEST(ServerProcess, TheMockOfKafkaTakesCommands) {
  ServerProcess mock = ServerProcess::kafka_mock(2);
  EXPECT_THAT(mock.control("state")["bootstrap"].get<std::string>(),
              testing::StartsWith(mock.address() + ","));
  mock.control("topic", {{"topic", "frames"}, {"partitions", 3}});
  mock.control("leader", {{"topic", "frames"}, {"partition", 1}, {"broker", 2}});
  mock.control("errors", {{"api", 0}, {"errors", {6, 19}}});
  EXPECT_THROW(mock.control("broker", {{"broker", 7}, {"up", false}}), std::runtime_error);
  EXPECT_THROW(mock.control("topic", {{"topic", "frames"}}), std::runtime_error);
  EXPECT_THROW(mock.control("explode"), std::runtime_error);
}

TEST(ServerProcess, RealServersStart) {
  EXPECT_TRUE(ServerProcess::redis().running());
  EXPECT_TRUE(ServerProcess::mosquitto().running());
  TemporaryFolder folder;
  EXPECT_TRUE(ServerProcess::nginx(folder.path()).running());
}

TEST(ServerUnderTest, TheEnvironmentNamesARealServer) {
  setenv("SIGHTGLASS_TEST_ECHO", "echo://far.example:7", 1);
  ServerUnderTest given("ECHO", "echo_server.py", "echo://");
  EXPECT_TRUE(given.real());
  EXPECT_EQ(given.url(), "echo://far.example:7");
  unsetenv("SIGHTGLASS_TEST_ECHO");
  ServerUnderTest started("ECHO", "echo_server.py", "echo://");
  EXPECT_FALSE(started.real());
  EXPECT_EQ(started.url(), "echo://" + started.process().address());
}

}  // namespace
}  // namespace sightglass::test
