#include "sightglass/stream/zeromq/socket.h"

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>

#include "sightglass/stream/zeromq/zmq_test_support.h"

namespace sightglass::stream {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<MessagePart> texts(std::initializer_list<std::string_view> each) {
  std::vector<MessagePart> parts;
  for (const std::string_view text : each) parts.push_back(MessagePart::copy_of(text));
  return parts;
}

// Sends as soon as there is a peer with room.
bool send_soon(Socket& socket, std::span<const MessagePart> parts) {
  return soon([&] {
    const auto sent = socket.send(parts);
    if (sent && *sent) return true;
    socket.wait({.writable = true}, 10ms);
    return false;
  });
}

std::vector<std::string> receive_soon(Socket& socket) {
  std::vector<MessagePart> parts;
  soon([&] {
    const auto got = socket.receive(parts);
    if (got && *got) return true;
    socket.wait({.readable = true}, 10ms);
    return false;
  });
  std::vector<std::string> out;
  for (const MessagePart& part : parts) out.emplace_back(part.text());
  return out;
}

Url to(const Socket& bound, std::string_view type) {
  Url url = *parse_url(std::string(type) + "+connect:inproc://x");
  const SocketType wanted = url.type;
  url = bound.url();
  url.type = wanted;
  url.bind = false;
  return url;
}

class SocketPairs : public testing::TestWithParam<std::string> {
 protected:
  TempFolder folder_;
  Url bound(std::string_view type) const { return test_url(type, GetParam(), folder_.path); }
};

TEST_P(SocketPairs, PushReachesPullInOneMessage) {
  auto pull = Socket::open(bound("pull+bind"), {});
  ASSERT_TRUE(pull) << pull.error().message;
  auto push = Socket::open(to(*pull, "push"), {});
  ASSERT_TRUE(push) << push.error().message;
  ASSERT_TRUE(send_soon(*push, texts({"cam-1", "body", ""})));
  EXPECT_THAT(receive_soon(*pull), ElementsAre("cam-1", "body", ""));
}

TEST_P(SocketPairs, DealerAndRouterTalkBothWays) {
  auto router = Socket::open(bound("router+bind"), {});
  ASSERT_TRUE(router) << router.error().message;
  auto dealer = Socket::open(to(*router, "dealer"), {});
  ASSERT_TRUE(dealer);
  ASSERT_TRUE(send_soon(*dealer, texts({"a", "b"})));
  const auto got = receive_soon(*router);
  ASSERT_EQ(got.size(), 3U);
  const auto reply = texts({got[0], "ack"});
  ASSERT_TRUE(*router->send(reply));
  EXPECT_THAT(receive_soon(*dealer), ElementsAre("ack"));
  const auto nobody = router->send(texts({"nobody", "x"}));
  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().code, ErrorCode::not_found);
}

TEST_P(SocketPairs, TopicsMatchByPrefix) {
  auto pub = Socket::open(bound("pub+bind"), {});
  ASSERT_TRUE(pub) << pub.error().message;
  auto sub = Socket::open(to(*pub, "sub"), {.subscriptions = {"cam-1"}});
  ASSERT_TRUE(sub);
  std::vector<std::string> first;
  ASSERT_TRUE(soon([&] {
    EXPECT_TRUE(pub->publish(texts({"cam-2", "x"})));
    EXPECT_TRUE(pub->publish(texts({"cam-10", "x"})));
    std::vector<MessagePart> parts;
    sub->wait({.readable = true}, 10ms);
    const auto got = sub->receive(parts);
    if (!got || !*got) return false;
    for (const MessagePart& part : parts) first.emplace_back(part.text());
    return true;
  }));
  EXPECT_THAT(first, ElementsAre("cam-10", "x"));
}

INSTANTIATE_TEST_SUITE_P(Transports, SocketPairs, testing::Values("tcp", "ipc", "inproc"),
                         [](const auto& each) { return each.param; });

TEST(ZmqSocket, SharesPayloadsAndLetsGoOfThemOnce) {
  TempFolder folder;
  auto pull = Socket::open(test_url("pull+bind", "ipc", folder.path), {});
  ASSERT_TRUE(pull);
  auto push = Socket::open(to(*pull, "push"), {});
  ASSERT_TRUE(push);
  std::atomic<int> released{0};
  {
    auto* bytes = new std::vector<uint8_t>(100'000, 7);
    const Payload payload{*bytes, std::shared_ptr<const void>(bytes, [&](const void* each) {
                            ++released;
                            delete static_cast<const std::vector<uint8_t>*>(each);
                          })};
    const MessagePart part = MessagePart::share(payload);
    EXPECT_EQ(part.bytes().data(), bytes->data());
    const MessagePart twice = part.again();
    EXPECT_EQ(twice.bytes().data(), bytes->data());
    ASSERT_TRUE(send_soon(*push, {&part, 1}));
  }
  const auto got = receive_soon(*pull);
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0], std::string(100'000, 7));
  EXPECT_TRUE(soon([&] { return released == 1; }));
}

TEST(ZmqSocket, PushWithoutPeerOrRoomSendsNothing) {
  TempFolder folder;
  auto alone = Socket::open(*parse_url("push+connect:ipc://" + folder.path + "/none"), {});
  ASSERT_TRUE(alone);
  EXPECT_FALSE(*alone->send(texts({"a"})));

  auto pull = Socket::open(test_url("pull+bind", "inproc", folder.path), {.high_water_mark = 2});
  auto push = Socket::open(to(*pull, "push"), {.high_water_mark = 3});
  ASSERT_TRUE(pull && push);
  int sent = 0;
  while (*push->send(texts({"a"}))) ++sent;
  EXPECT_EQ(sent, 5);  // both marks, since inproc has one queue
}

TEST(ZmqSocket, PublishTellsWhenItDropped) {
  TempFolder folder;
  auto pub = Socket::open(test_url("pub+bind", "inproc", folder.path), {.high_water_mark = 2});
  ASSERT_TRUE(pub);
  EXPECT_TRUE(*pub->publish(texts({"a", "nobody listens"})));
  auto slow = Socket::open(to(*pub, "sub"), {.high_water_mark = 2, .subscriptions = {"a"}});
  ASSERT_TRUE(slow);
  int sent = 0;
  EXPECT_TRUE(soon([&] { return !*pub->publish(texts({"a", "b"})) || ++sent > 100'000; }));
  EXPECT_LE(sent, 100'000);
  // A reader with room gets what the slow one loses.
  auto quick = Socket::open(to(*pub, "sub"), {.high_water_mark = 2, .subscriptions = {"a"}});
  ASSERT_TRUE(quick);
  EXPECT_TRUE(soon([&] {
    (void)*pub->publish(texts({"a", "c"}));
    std::vector<MessagePart> parts;
    return *quick->receive(parts);
  }));
}

TEST(W14, OversizePartIsCutOffAndCounted) {
  TempFolder folder;
  for (const std::string transport : {"tcp", "ipc"}) {
    auto pull = Socket::open(test_url("pull+bind", transport, folder.path), {.max_part = 100'000});
    ASSERT_TRUE(pull) << pull.error().message;
    auto good = Socket::open(to(*pull, "push"), {});
    auto bad = Socket::open(to(*pull, "push"), {});
    ASSERT_TRUE(good && bad);
    ASSERT_TRUE(soon([&] { return pull->wait({}, 5ms), pull->connections().connected == 2; }));
    ASSERT_TRUE(send_soon(*bad, texts({"a", std::string(4'000'000, 'x')})));
    EXPECT_TRUE(soon([&] { return pull->wait({.readable = true}, 5ms), pull->connections().oversize == 1; }));
    std::vector<MessagePart> parts;
    EXPECT_FALSE(*pull->receive(parts));
    ASSERT_TRUE(send_soon(*good, texts({"a", std::string(100'000, 'x')})));
    EXPECT_EQ(receive_soon(*pull).size(), 2U);
    // An ordinary end is none.
    const auto before = pull->connections();
    good = Socket::open(to(*pull, "push"), {});
    EXPECT_TRUE(
        soon([&] { return pull->wait({}, 5ms), pull->connections().disconnected > before.disconnected; }));
    EXPECT_EQ(pull->connections().oversize, 1U) << transport;
  }
}

TEST(W14, ReaderThatConnectedComesBackAfterAnOversizePart) {
  TempFolder folder;
  auto push = Socket::open(test_url("push+bind", "ipc", folder.path), {});
  ASSERT_TRUE(push);
  auto pull = Socket::open(to(*push, "pull"), {.max_part = 100'000});
  ASSERT_TRUE(pull);
  ASSERT_TRUE(send_soon(*push, texts({"a", std::string(4'000'000, 'x')})));
  EXPECT_TRUE(soon([&] { return pull->wait({.readable = true}, 5ms), pull->connections().oversize == 1; }));
  EXPECT_TRUE(soon([&] { return pull->wait({.readable = true}, 5ms), pull->connections().connected == 2; }));
  ASSERT_TRUE(send_soon(*push, texts({"a", "small"})));
  EXPECT_THAT(receive_soon(*pull), ElementsAre("a", "small"));
}

TEST(ZmqSocket, ReconnectsWhenThePeerComesBack) {
  TempFolder folder;
  const Url url = test_url("pull+bind", "ipc", folder.path);
  std::optional<Result<Socket>> pull = Socket::open(url, {});
  auto push = Socket::open(to(**pull, "push"), {.reconnect_first = 10ms});
  ASSERT_TRUE(push);
  ASSERT_TRUE(soon([&] { return push->wait({}, 5ms), push->connections().connected == 1; }));
  pull.reset();
  ASSERT_TRUE(soon([&] { return push->wait({}, 5ms), push->connections().disconnected == 1; }));
  // The event comes a moment before there is no room any more.
  ASSERT_TRUE(soon([&] { return !*push->send(texts({"lost with the reader"})); }));
  pull = Socket::open(url, {});
  ASSERT_TRUE(*pull);
  ASSERT_TRUE(send_soon(*push, texts({"again"})));
  EXPECT_THAT(receive_soon(**pull), ElementsAre("again"));
}

TEST(ZmqSocket, WhatAPeerSaysLastIsHeardAlthoughItIsGone) {
  const TempFolder folder;
  auto router = std::optional(Socket::open(test_url("router+bind", "ipc", folder.path), {}));
  ASSERT_TRUE(*router);
  auto dealer = Socket::open(to(**router, "dealer"), {});
  ASSERT_TRUE(dealer);
  ASSERT_TRUE(send_soon(*dealer, texts({"hello"})));
  const auto heard = receive_soon(**router);
  ASSERT_EQ(heard.size(), 2U);
  ASSERT_TRUE(*(*router)->send(texts({heard[0], "all is well"})));
  router.reset();
  ASSERT_TRUE(soon([&] { return dealer->connections().disconnected == 1; }));
  EXPECT_THAT(receive_soon(*dealer), ElementsAre("all is well"));
}

TEST(ZmqIpc, FileIsForOwnerAndGroupAndFolderIsMade) {
  TempFolder folder;
  const std::string path = folder.path + "/made/in.sock";
  auto pull = Socket::open(*parse_url("pull+bind:ipc://" + path), {});
  ASSERT_TRUE(pull) << pull.error().message;
  struct stat file{};
  ASSERT_EQ(stat(path.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777U, 0660U);
  ASSERT_EQ(stat((folder.path + "/made").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777U, 0750U);
}

TEST(ZmqIpc, StaleFileIsReplacedAndLivingOneIsNot) {
  TempFolder folder;
  const std::string path = folder.path + "/in.sock";
  {
    // What a process leaves that was killed.
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    close(fd);
  }
  const Url url = *parse_url("pull+bind:ipc://" + path);
  auto first = Socket::open(url, {});
  ASSERT_TRUE(first) << first.error().message;
  const auto second = Socket::open(url, {});
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("another process listens there"));
  auto push = Socket::open(to(*first, "push"), {});
  EXPECT_TRUE(send_soon(*push, texts({"still there"})));

  const std::string other = folder.path + "/notes.txt";
  std::ofstream(other) << "keep";
  const auto file = Socket::open(*parse_url("pull+bind:ipc://" + other), {});
  ASSERT_FALSE(file);
  EXPECT_THAT(file.error().message, HasSubstr("no socket"));
  EXPECT_TRUE(std::filesystem::exists(other));
}

TEST(ZmqSocket, TellsWhyItCannotOpen) {
  TempFolder folder;
  auto taken = Socket::open(test_url("pull+bind", "tcp", folder.path), {});
  ASSERT_TRUE(taken);
  const auto again = Socket::open(taken->url(), {});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::unavailable);
  EXPECT_THAT(again.error().message, HasSubstr(taken->url().to_string()));
}

struct Keys {
  std::string open, secret;
};

Keys make_keys() {
  std::array<char, 41> open{}, secret{};
  zmq_curve_keypair(open.data(), secret.data());
  return {open.data(), secret.data()};
}

class Curve : public testing::Test {
 protected:
  TempFolder folder_;
  Keys server_ = make_keys(), friend_ = make_keys(), stranger_ = make_keys();

  void SetUp() override {
    std::filesystem::create_directory(folder_.path + "/allowed");
    write("server.key", server_.secret), write("friend.key", friend_.secret),
        write("stranger.key", stranger_.secret);
    write("allowed/friend.pub", friend_.open);
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_.path + "/" + name) << text << "\n";
    chmod((folder_.path + "/" + name).c_str(), 0600);
  }
  SocketOptions server() const {
    return {.curve = {.secret_key_file = folder_.path + "/server.key",
                      .allowed_keys_dir = folder_.path + "/allowed"},
            .require_auth = true};
  }
  SocketOptions client(const std::string& name) const {
    return {.reconnect_first = 10ms,
            .curve = {.secret_key_file = folder_.path + "/" + name + ".key", .server_key = server_.open}};
  }
};

TEST_F(Curve, TakesKnownKeysAndRefusesOthers) {
  auto pull = Socket::open(*parse_url("pull+bind:tcp://127.0.0.1:*"), server());
  ASSERT_TRUE(pull) << pull.error().message;
  EXPECT_TRUE(pull->trusted());
  auto known = Socket::open(to(*pull, "push"), client("friend"));
  auto other = Socket::open(to(*pull, "push"), client("stranger"));
  auto plain = Socket::open(to(*pull, "push"), {});
  ASSERT_TRUE(known && other && plain);
  ASSERT_TRUE(send_soon(*known, texts({"hello"})));
  EXPECT_THAT(receive_soon(*pull), ElementsAre("hello"));
  EXPECT_TRUE(soon([&] { return pull->wait({}, 5ms), pull->connections().handshake_failed >= 2; }));
  EXPECT_FALSE(*other->send(texts({"no"})));
  EXPECT_FALSE(*plain->send(texts({"no"})));
}

TEST_F(Curve, FolderIsReadAgain) {
  auto pull = Socket::open(*parse_url("pull+bind:tcp://127.0.0.1:*"), server());
  auto other = Socket::open(to(*pull, "push"), client("stranger"));
  ASSERT_TRUE(pull && other);
  ASSERT_TRUE(soon([&] { return pull->wait({}, 5ms), pull->connections().handshake_failed >= 1; }));
  write("allowed/stranger.pub", stranger_.open);
  EXPECT_TRUE(soon([&] {
    other->wait({.writable = true}, 20ms);
    (void)other->connections();
    return *other->send(texts({"now"}));
  }));
  EXPECT_THAT(receive_soon(*pull), ElementsAre("now"));
}

TEST_F(Curve, WrongSettingsAreErrorsInOneLineWithoutTheSecret) {
  const Url url = *parse_url("pull+bind:tcp://127.0.0.1:*");
  const auto error = [&](const CurveOptions& curve) {
    const auto socket = Socket::open(url, {.curve = curve});
    EXPECT_FALSE(socket);
    return socket ? "" : socket.error().message;
  };
  EXPECT_THAT(error({.allowed_keys_dir = folder_.path}), HasSubstr("curve.secret_key_file: missing"));
  EXPECT_THAT(error({.secret_key_file = folder_.path + "/none"}), HasSubstr("no such file"));
  write("bad.key", "abc");
  EXPECT_THAT(error({.secret_key_file = folder_.path + "/bad.key"}), HasSubstr("no key in it"));
  EXPECT_THAT(error({.secret_key_file = folder_.path + "/server.key", .server_key = "short"}),
              HasSubstr("curve.server_key: 'short'"));
  EXPECT_THAT(
      error({.secret_key_file = folder_.path + "/server.key", .allowed_keys_dir = folder_.path + "/nix"}),
      HasSubstr("curve.allowed_keys_dir"));
  const std::string both = error({.secret_key_file = folder_.path + "/server.key",
                                  .server_key = server_.open,
                                  .allowed_keys_dir = folder_.path});
  EXPECT_THAT(both, HasSubstr("give one of them"));
  EXPECT_THAT(both, testing::Not(HasSubstr(server_.secret)));
}

TEST_F(Curve, OpenSocketsInTheNetworkAreRefusedOrWarnedAbout) {
  const Url open = *parse_url("pull+bind:tcp://0.0.0.0:*");
  const auto refused = Socket::open(open, {.require_auth = true});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("require_auth"));
  const auto warned = Socket::open(open, {});
  ASSERT_TRUE(warned);
  EXPECT_THAT(warned->warnings(), ElementsAre(HasSubstr("everybody in the network")));
  EXPECT_FALSE(warned->trusted());
  const auto local = Socket::open(*parse_url("pull+bind:tcp://127.0.0.1:*"), {.require_auth = true});
  ASSERT_TRUE(local);
  EXPECT_THAT(local->warnings(), IsEmpty());
  EXPECT_TRUE(Socket::open(open, server()));
}

}  // namespace
}  // namespace sightglass::stream
