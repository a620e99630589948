#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <format>
#include <nlohmann/json.hpp>

#include "sightglass/adapters/http/hmac.h"
#include "sightglass/adapters/sink_flow_test_support.h"

namespace sightglass::adapters {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;
using testing::Flow;
using testing::frame_record;
using testing::make_sink;
using testing::Options;
using testing::outcome_of;
using testing::write_to;

class Webhook : public ::testing::Test {
 protected:
  Webhook()
      : server_(test::ServerProcess::script("webhook_double.py", {"--secret", "k3y", "--token", "t0ken"})) {
    std::ofstream(folder_.path() / "secret") << "k3y\n";
    std::ofstream(folder_.path() / "token") << "t0ken\n";
    std::ofstream(folder_.path() / "wrong") << "other\n";
  }
  Options options(Options more = {}) const {
    more.insert(more.begin(), {{"url", std::format("http://{}/hook", server_.address())},
                               {"secret-file", folder_.path() / "secret"},
                               {"token-file", folder_.path() / "token"}});
    return more;
  }
  std::unique_ptr<Sink> open(Options more = {}, uint64_t batch_bytes = 0) const {
    return testing::open_sink("webhook", options(std::move(more)), batch_bytes);
  }
  void expect_all(const Flow& flow, const char* what) const {
    std::set<std::string> stored;
    const Json records = server_.control("records");
    for (const Json& record : records) stored.insert(record["uuid"]);
    EXPECT_EQ(stored, flow.uuids()) << what;
    EXPECT_EQ(flow.status().dead_letters, 0u) << what;
  }

  test::TemporaryFolder folder_;
  test::ServerProcess server_;
};

TEST_F(Webhook, PostsSignedBatchesOfRecords) {
  for (const char* gzip : {"false", "true"}) {
    auto sink = open({{"gzip", gzip}});
    EXPECT_THAT(outcome_of(*sink, {frame_record({.seq = 1}), frame_record({.seq = 2})}), Each(Stored::yes));
  }
  const Json records = server_.control("records");
  ASSERT_EQ(records.size(), 4u);
  EXPECT_EQ(records[1]["seq"], 2);
  EXPECT_EQ(server_.control("requests")["requests"].size(), 2u);
}

TEST_F(Webhook, WrongSecretIsHeldNotLost) {
  auto sink = open({{"secret-file", folder_.path() / "wrong"}});
  const auto refused = write_to(*sink, {frame_record({})});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("401"));
  std::ofstream(folder_.path() / "wrong") << "k3y\n";
  (void)write_to(*sink, {frame_record({})});
  EXPECT_TRUE(write_to(*sink, {frame_record({})})) << "the file is read again";
}

TEST_F(Webhook, RepeatsHaveTheSameKey) {
  auto sink = open();
  const std::vector<RecordRef> records = {frame_record({}), frame_record({})};
  server_.control("faults", {{"rules", {{{"fault", "cut_after"}, {"scope", "request"}, {"count", 1}}}}});
  EXPECT_FALSE(write_to(*sink, records));
  EXPECT_THAT(outcome_of(*sink, records), Each(Stored::yes));
  EXPECT_EQ(server_.control("records").size(), 2u);
  EXPECT_EQ(server_.control("requests")["repeats"], 1);
}

TEST_F(Webhook, RetryAfterIsHonoured) {
  auto sink = open();
  server_.control("faults",
                  {{"rules", {{{"fault", "429"}, {"scope", "request"}, {"count", 1}, {"seconds", 1}}}}});
  const RecordRef record = frame_record({});
  EXPECT_FALSE(write_to(*sink, {record}));
  EXPECT_THAT(outcome_of(*sink, {record}), Each(Stored::yes));
  const Json requests = server_.control("requests")["requests"];
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_GE(requests[1]["time"].get<double>() - requests[0]["time"].get<double>(), 0.9);
}

TEST_F(Webhook, RecordThatIsRefusedIsFoundAmongTheOthers) {
  auto sink = open();
  std::vector<RecordRef> records;
  for (int i = 0; i < 5; ++i) records.push_back(frame_record({.seq = i}));
  server_.control("faults",
                  {{"rules", {{{"fault", "400"}, {"contains", stream::to_string(records[3]->uuid)}}}}});
  EXPECT_THAT(outcome_of(*sink, records),
              ElementsAre(Stored::yes, Stored::yes, Stored::yes, Stored::never, Stored::yes));
  EXPECT_EQ(server_.control("records").size(), 4u);
}

TEST_F(Webhook, RequestsAreCutAtTheBatchsBytes) {
  auto sink = open({}, 2'000);
  std::vector<RecordRef> records;
  for (int i = 0; i < 20; ++i) records.push_back(frame_record({.seq = i}));
  EXPECT_THAT(outcome_of(*sink, records), Each(Stored::yes));
  EXPECT_EQ(server_.control("records").size(), 20u);
  const Json requests = server_.control("requests")["requests"];
  EXPECT_GT(requests.size(), 3u);
  for (const Json& request : requests) EXPECT_LE(request["bytes"], 2'001);
}

TEST_F(Webhook, FaultsLoseAndInventNothing) {
  Flow flow("webhook", options({{"timeout", "2"}}), folder_.path(), 20);
  for (const char* fault : {"401", "429", "500", "cut_before", "cut_after", "garbage"})
    flow.give_many(100, [&](int i) {
      if (i == 30)
        server_.control("faults", {{"rules", {{{"fault", fault}, {"scope", "request"}, {"count", 2}}}}});
    });
  ASSERT_TRUE(flow.wait_stored());
  expect_all(flow, "faults");
}

TEST(WebhookOptions, MistakesAreNamed) {
  const auto error = [](const Options& options) {
    auto sink = make_sink("webhook", options);
    return sink ? std::string() : sink.error().message;
  };
  EXPECT_THAT(error({}), HasSubstr("url is missing"));
  EXPECT_THAT(error({{"url", "file:///x"}}), HasSubstr("no http:// or https:// address"));
  for (const char* key : {"password-file", "token-file", "secret-file"})
    EXPECT_THAT(error({{"url", "http://h"}, {key, "/nowhere"}}),
                HasSubstr(std::format("{}: the file /nowhere cannot be read", key)));
  EXPECT_THAT(error({{"url", "http://h"}, {"user", "a"}, {"token-file", "b"}}),
              HasSubstr("exclude each other"));
}

// RFC 4231, case 2; FIPS 180-2.
TEST(Hmac, IsThatOfTheStandard) {
  EXPECT_EQ(hmac_sha256_hex("Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace sightglass::adapters
