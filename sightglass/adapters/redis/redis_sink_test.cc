// The sink `redis` against a real server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hiredis/hiredis.h>
#include <hiredis/hiredis_ssl.h>

#include <chrono>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>
#include <nlohmann/json.hpp>

#include "sightglass/adapters/sink_test_support.h"
#include "tests/servers/server_process.h"

namespace sightglass::adapters {
namespace {

using sightglass::test::ServerProcess;
using sightglass::test::TestCertificates;
using test::Settings;
using testing::HasSubstr;

std::string url_of(const ServerProcess& server) { return "redis://" + server.address(); }

// A client of the test's own.
class Client {
 public:
  explicit Client(const ServerProcess& server) : context_(redisConnect("127.0.0.1", server.port())) {}
  ~Client() { redisFree(context_); }
  redisReply* operator()(const char* command) {
    if (reply_) freeReplyObject(reply_);
    return reply_ = static_cast<redisReply*>(redisCommand(context_, command));
  }
  // uuid → how often, of all entries.
  std::map<std::string, int> entries(const std::string& stream = "sightglass") {
    std::map<std::string, int> found;
    const redisReply* all = (*this)(("XRANGE " + stream + " - +").c_str());
    for (size_t i = 0; i < all->elements; ++i) ++found[all->element[i]->element[1]->element[1]->str];
    return found;
  }

 private:
  redisContext* context_;
  redisReply* reply_ = nullptr;
};

std::map<std::string, int> once(const std::vector<RecordRef>& records) {
  std::map<std::string, int> expected;
  for (const auto& record : records) expected[stream::to_string(record->uuid)] = 1;
  return expected;
}

std::filesystem::path secret(const ServerProcess& server, const std::string& text) {
  const auto path = server.folder() / "secret";
  std::ofstream(path) << text << '\n';
  return path;
}

TEST(Redis, EntriesOfAStreamEachOnce) {
  auto server = ServerProcess::redis();
  auto sink = test::open_sink("redis", {{"url", url_of(server)}});
  auto records = test::frames("cam-1", 100);
  EXPECT_EQ(test::store_all(*sink, records), 0u);
  // The same again, as after a crash.
  auto other = test::open_sink("redis", {{"url", url_of(server)}});
  EXPECT_EQ(test::store_all(*other, records), 0u);
  Client client(server);
  EXPECT_EQ(client.entries(), once(records));
  const redisReply* first = client("XRANGE sightglass - + COUNT 1")->element[0]->element[1];
  EXPECT_STREQ(first->element[3]->str, "cam-1");
  EXPECT_STREQ(first->element[5]->str, "frame");
  EXPECT_EQ(nlohmann::json::parse(first->element[7]->str)["seq"], 0);
  const auto mark = "TTL {sightglass}:" + stream::to_string(records[0]->uuid);
  EXPECT_GT(client(mark.c_str())->integer, 86'000);
}

TEST(Redis, StreamsHaveALengthAndNotesAreAskedFor) {
  auto server = ServerProcess::redis();
  auto sink = test::open_sink("redis", {{"url", url_of(server) + "/3"}, {"length", "50"}, {"stream", "s"}});
  auto records = test::frames("cam-1", 200);
  records.push_back(test::note("cam-1", stream::EndReason::end));
  EXPECT_EQ(test::store_all(*sink, records), 0u);
  Client client(server);
  client("SELECT 3");
  EXPECT_EQ(client("XLEN s")->integer, 50);
  auto notes = test::open_sink("redis", {{"url", url_of(server)}, {"notes", "true"}, {"length", "0"}});
  EXPECT_EQ(test::store_all(*notes, records), 0u);
  client("SELECT 0");
  EXPECT_EQ(client("XLEN sightglass")->integer, 201);
}

TEST(Redis, KeysThatExpire) {
  auto server = ServerProcess::redis();
  auto sink = test::open_sink(
      "redis", {{"url", url_of(server)}, {"key", "{source_id}/{kind}/{uuid}"}, {"ttl", "600"}});
  const auto records = test::frames("cam-1", 3);
  EXPECT_EQ(test::store_all(*sink, records), 0u);
  Client client(server);
  const std::string key = "cam-1/frame/" + stream::to_string(records[1]->uuid);
  EXPECT_EQ(nlohmann::json::parse(client(("GET " + key).c_str())->str)["seq"], 1);
  EXPECT_GT(client(("TTL " + key).c_str())->integer, 590);
}

TEST(Redis, PasswordsComeFromFiles) {
  auto server = ServerProcess::redis({"--requirepass", "hunter2"});
  const auto file = secret(server, "hunter2");
  auto sink = test::open_sink("redis", {{"url", url_of(server)}, {"password-file", file}});
  EXPECT_EQ(test::store_all(*sink, test::frames("a", 5)), 0u);

  auto without = test::open_sink("redis", {{"url", url_of(server)}});
  std::vector<Stored> outcome(1);
  EXPECT_THAT(without->write(test::frames("a", 1), outcome).error().message, HasSubstr("NOAUTH"));
  secret(server, "wrong");
  auto wrong = test::open_sink("redis", {{"url", url_of(server)}, {"password-file", file}});
  const Status refused = wrong->write(test::frames("a", 1), outcome);
  EXPECT_THAT(refused.error().message,
              testing::AllOf(HasSubstr("WRONGPASS"), testing::Not(HasSubstr("wrong "))));
  EXPECT_THAT(test::make_sink("redis", {{"url", "redis://me:hunter2@host"}}).error().message,
              testing::AllOf(HasSubstr("password-file"), testing::Not(HasSubstr("hunter2"))));
}

TEST(Redis, SpeaksTls) {
  const TestCertificates certificates;
  auto server = ServerProcess::redis();
  const int port = sightglass::test::free_port();
  auto encrypted = ServerProcess::redis({"--tls-port", std::to_string(port), "--tls-cert-file",
                                         certificates.path("server.pem"), "--tls-key-file",
                                         certificates.path("server.key"), "--tls-ca-cert-file",
                                         certificates.path("ca.pem"), "--tls-auth-clients", "yes"});
  const std::string url = "rediss://127.0.0.1:" + std::to_string(port);
  const Settings client = {{"tls-cert", certificates.path("client.pem")},
                           {"tls-key", certificates.path("client.key")}};
  Settings settings = {{"url", url}, {"tls-ca", certificates.path("ca.pem")}};
  settings.insert(settings.end(), client.begin(), client.end());
  auto sink = test::open_sink("redis", settings);
  const auto records = test::frames("cam", 20);
  EXPECT_EQ(test::store_all(*sink, records), 0u);
  EXPECT_EQ(Client(encrypted).entries(), once(records));
  // Signed by somebody else.
  Settings stranger = {{"url", url}, {"tls-ca", certificates.path("other-ca.pem")}};
  stranger.insert(stranger.end(), client.begin(), client.end());
  auto refused = test::open_sink("redis", stranger);
  std::vector<Stored> outcome(1);
  EXPECT_FALSE(refused->write(test::frames("a", 1), outcome));
  auto missing = test::make_sink("redis", {{"url", url}, {"tls-ca", "/nowhere.pem"}});
  EXPECT_THAT((*missing)->start().error().message, HasSubstr("/nowhere.pem"));
}

TEST(Redis, BadOptionsAreNamed) {
  const auto message = [](const Settings& settings) {
    return test::make_sink("redis", settings).error().message;
  };
  EXPECT_THAT(message({}), HasSubstr("url is missing"));
  EXPECT_THAT(message({{"url", "http://host"}}), HasSubstr("rediss://host:6379"));
  EXPECT_THAT(message({{"url", "redis://host:99999"}}), HasSubstr("bad port"));
  EXPECT_THAT(message({{"url", "redis://host"}, {"password-file", "/nowhere"}}),
              HasSubstr("password-file: the file /nowhere cannot be read"));
  EXPECT_THAT(message({{"url", "redis://host"}, {"tls-verify", "false"}}), HasSubstr("tls.verify is set"));
  EXPECT_THAT(message({{"url", "redis://host/first"}}), HasSubstr("'first'"));
  EXPECT_THAT(message({{"url", "redis://host"}, {"stream", ""}}), HasSubstr("neither stream nor key"));
}

// --- faults; tests/adapters/sink_faults_test.cc has those of the server

class RedisFaults : public testing::Test {
 protected:
  // Through the proxy, with patience for half a second.
  std::unique_ptr<Sink> open() {
    return test::open_sink("redis",
                           {{"url", "redis://" + proxy.address()}, {"length", "0"}, {"timeout", "0.5"}});
  }
  ServerProcess server = ServerProcess::redis();
  ServerProcess proxy = ServerProcess::script("fault_proxy.py", {"--to", server.address()});
  std::vector<RecordRef> records = test::frames("cam-1", 2000);
};

TEST_F(RedisFaults, NothingIsLostOrInventedWhenConnectionsBreak) {
  auto sink = open();
  proxy.control("set", {{"cut_after", 20'000}, {"times", 20}});
  test::store_all(*sink, records);
  EXPECT_EQ(Client(server).entries(), once(records));
}

TEST_F(RedisFaults, FullMemoryIsWaitedFor) {
  auto sink = open();
  Client client(server);
  client("CONFIG SET maxmemory-policy noeviction");
  client("CONFIG SET maxmemory 1");
  std::vector<Stored> outcome(8);
  const Status full = sink->write(std::span(records).first(8), outcome);
  EXPECT_TRUE(!full || std::ranges::count(outcome, Stored::retry) > 0);
  client("CONFIG SET maxmemory 0");
  test::store_all(*sink, records);
  EXPECT_EQ(client.entries(), once(records));
}

TEST_F(RedisFaults, CancelEndsTheWaiting) {
  auto patient = test::open_sink("redis", {{"url", "redis://" + proxy.address()}, {"timeout", "3000"}});
  std::vector<Stored> outcome(1);
  ASSERT_TRUE(patient->write(std::span(records).first(1), outcome));
  server.pause();
  std::jthread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    patient->cancel();
  });
  EXPECT_FALSE(patient->write(std::span(records).subspan(1, 1), outcome));
  server.go_on();
}

}  // namespace
}  // namespace sightglass::adapters
