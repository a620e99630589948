#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <format>
#include <nlohmann/json.hpp>

#include "sightglass/adapters/mongodb/json_to_bson.h"
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

class Mongodb : public ::testing::Test {
 protected:
  explicit Mongodb(std::vector<std::string> arguments = {})
      : server_("MONGODB", "mongodb_double.py", "mongodb://", with_data(std::move(arguments))) {
    static int number = 0;
    database_ = std::format("t{}_{}", getpid(), ++number);
  }
  std::vector<std::string> with_data(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--data", (folder_.path() / "data").string()});
    return arguments;
  }
  Options options(Options more = {}) const {
    more.emplace_back("url", server_.url());
    more.emplace_back("database", database_);
    return more;
  }
  std::unique_ptr<Sink> open(Options more = {}) const {
    return testing::open_sink("mongodb", options(std::move(more)));
  }
  // What another client gets: an expression of pymongo.
  Json python(const std::string& expression) const {
    const std::string command = std::format(
        "python3 -c \"import pymongo, sys\nfrom bson import json_util\n"
        "db = pymongo.MongoClient(sys.argv[1])[sys.argv[2]]\nprint(json_util.dumps({}))\" '{}' '{}'",
        expression, server_.url(), database_);
    std::FILE* const pipe = popen(command.c_str(), "r");
    std::string text;
    char block[4096];
    while (const size_t got = std::fread(block, 1, sizeof block, pipe)) text.append(block, got);
    EXPECT_EQ(pclose(pipe), 0) << expression;
    return Json::parse(text, nullptr, false);
  }
  std::map<std::string, Json> found(const std::string& kind) const {
    std::map<std::string, Json> all;
    for (const Json& document : python(std::format("list(db.{}.find())", kind)))
      all[document["_id"]] = document;
    return all;
  }
  void expect_all(const Flow& flow, const char* what) {
    std::set<std::string> stored;
    for (const auto& [id, document] : found("frames")) {
      stored.insert(id);
      EXPECT_EQ(document["uuid"], id);
    }
    EXPECT_EQ(stored, flow.uuids()) << what << ": none lost, none invented";
    EXPECT_EQ(found("objects").size(), flow.uuids().size()) << what;
    EXPECT_EQ(flow.status().dead_letters, 0u) << what;
    EXPECT_LE(flow.most_queued(), 700u) << what << ": memory is bounded";
  }

  test::TemporaryFolder folder_;
  test::ServerUnderTest server_;
  std::string database_;
};

TEST_F(Mongodb, StoresFramesObjectsAndEventsUnderTheirKeys) {
  auto sink = open();
  const RecordRef record = frame_record({.source_id = "dock", .seq = 3, .objects = 2, .events = 1});
  EXPECT_THAT(outcome_of(*sink, {record}), Each(Stored::yes));
  const std::string uuid = stream::to_string(record->uuid);
  auto frames = found("frames");
  ASSERT_TRUE(frames.contains(uuid));
  EXPECT_EQ(frames[uuid]["source_id"], "dock");
  EXPECT_EQ(frames[uuid]["pts"], 120'000'000);
  EXPECT_TRUE(frames[uuid]["time"].contains("$date"));
  EXPECT_EQ(frames[uuid]["objects"].size(), 2u);
  auto objects = found("objects");
  EXPECT_EQ(objects[uuid + ":1"]["detection"]["label"], "person");
  EXPECT_EQ(found("events")[uuid + ":gate:cross:0"]["track"], 1);
}

TEST_F(Mongodb, RepeatsShowOnceAndLateUpdatesMergeInAnyOrder) {
  auto sink = open();
  const RecordRef record = frame_record({.objects = 1}), other = frame_record({.objects = 1});
  const RecordRef update = testing::update_record(*record), early = testing::update_record(*other);
  for (int i = 0; i < 2; ++i)
    EXPECT_THAT(outcome_of(*sink, {record, update, early, other}), Each(Stored::yes));
  const std::string uuid = stream::to_string(record->uuid);
  auto frames = found("frames");
  EXPECT_EQ(frames.size(), 2u);
  for (const auto& [id, frame] : frames) {
    EXPECT_EQ(frame["late"]["report:verdict"]["label"], "checked");
    EXPECT_EQ(frame["objects"].size(), 1u);
  }
  auto objects = found("objects");
  EXPECT_EQ(objects.size(), 4u);
  EXPECT_EQ(objects[uuid + ":0"]["late"]["mood:age"]["value"], 34);
  EXPECT_EQ(objects[uuid + ":0"]["roi_type"], "person") << "what was there stays";
  EXPECT_EQ(objects[uuid + ":5"]["x"], 90);
}

TEST_F(Mongodb, IndexesAreMadeAndComparedAtTheNextStart) {
  open({{"keep", "3600"}});
  const Json indexes = python("db.frames.index_information()");
  EXPECT_EQ(indexes["frames_uuid"]["unique"], true);
  EXPECT_EQ(indexes["frames_expire"]["expireAfterSeconds"], 3600);
  open({{"keep", "3600"}});
  auto other = make_sink("mongodb", options({{"keep", "7200"}}));
  const Status started = (*other)->start();
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message,
              AllOf(HasSubstr("frames_expire"), HasSubstr("3600"), HasSubstr("7200")));
}

TEST_F(Mongodb, ItemsAreJudgedByThemselves) {
  SIGHTGLASS_ON_DOUBLE_ONLY(server_);
  auto sink = open();
  const std::vector<RecordRef> records = {frame_record({.seq = 0}), frame_record({.seq = 1}),
                                          frame_record({.seq = 2})};
  const auto key = [&](int i) { return stream::to_string(records[size_t(i)]->uuid); };
  server_.process().control(
      "faults",
      {{"rules", {{{"fault", "11000"}, {"contains", key(0)}}, {{"fault", "121"}, {"contains", key(1)}}}}});
  EXPECT_THAT(outcome_of(*sink, records), ElementsAre(Stored::yes, Stored::never, Stored::yes));
  EXPECT_THAT(sink->refusal(), HasSubstr("121"));
}

TEST_F(Mongodb, F20RefusedUserHoldsTheRecordsAndIsSeen) {
  SIGHTGLASS_ON_DOUBLE_ONLY(server_);
  Flow flow("mongodb", options(), folder_.path());
  server_.process().control("faults",
                            {{"rules", {{{"fault", "13"}, {"scope", "request"}, {"contains", "update"}}}}});
  flow.give_many(20);
  EXPECT_TRUE(test::eventually([&] { return flow.status().last_error.contains("not authorized"); }));
  EXPECT_FALSE(flow.status().is_up);
  EXPECT_EQ(flow.status().dead_letters, 0u);
  server_.process().control("faults");
  ASSERT_TRUE(flow.wait_stored());
  expect_all(flow, "not authorised");
}

TEST_F(Mongodb, EveryFaultOfRequestsLosesAndInventsNothing) {
  SIGHTGLASS_ON_DOUBLE_ONLY(server_);
  Flow flow("mongodb", options({{"timeout", "2"}}), folder_.path(), 20);
  for (const char* fault : {"writeConcernError", "retryable", "retryable_write_concern", "10107", "11601",
                            "cut_before", "cut_after", "truncated", "garbage"})
    flow.give_many(100, [&](int i) {
      if (i == 30)
        server_.process().control(
            "faults",
            {{"rules", {{{"fault", fault}, {"scope", "request"}, {"contains", "update"}, {"count", 3}}}}});
    });
  ASSERT_TRUE(flow.wait_stored());
  expect_all(flow, "faults of requests");
}

TEST_F(Mongodb, F21ServerStoppedPausedAndRestartedWhileRecordsFlow) {
  SIGHTGLASS_ON_DOUBLE_ONLY(server_);
  Flow flow("mongodb", options({{"timeout", "2"}}), folder_.path());
  testing::disturb(flow, server_.process());
  ASSERT_TRUE(flow.wait_stored());
  expect_all(flow, "stopped, paused, restarted");
}

TEST_F(Mongodb, ServerThatIsAwayAtTheStartIsWaitedFor) {
  SIGHTGLASS_ON_DOUBLE_ONLY(server_);
  server_.process().stop();
  Flow flow("mongodb", options({{"timeout", "1"}}), folder_.path());
  flow.give_many(20);
  EXPECT_TRUE(test::eventually([&] { return !flow.status().is_up && !flow.status().last_error.empty(); }));
  server_.process().restart();
  ASSERT_TRUE(flow.wait_stored());
  expect_all(flow, "away at the start");
}

TEST(MongodbCredentials, ComeFromFilesAndNeverShow) {
  test::TemporaryFolder folder;
  std::ofstream(folder.path() / "password") << "s3cret\n";
  std::ofstream(folder.path() / "wrong") << "other\n";
  auto server =
      test::ServerProcess::script("mongodb_double.py", {"--user", "writer", "--password", "s3cret"});
  const auto with = [&](const char* file) {
    return make_sink("mongodb", {{"url", "mongodb://" + server.address()},
                                 {"user", "writer"},
                                 {"password-file", (folder.path() / file).string()},
                                 {"timeout", "3"}});
  };
  auto good = with("password");
  ASSERT_TRUE(good) << good.error().message;
  EXPECT_THAT(outcome_of(**good, {frame_record({})}), Each(Stored::yes));
  auto bad = with("wrong");
  const auto refused = write_to(**bad, {frame_record({})});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, AllOf(HasSubstr("uthentication"), ::testing::Not(HasSubstr("other"))));
}

TEST(MongodbTls, BothSidesAreChecked) {
  const test::TestCertificates certificates;
  auto server = test::ServerProcess::script("mongodb_double.py", certificates.server_arguments(true));
  const auto with = [&](Options more) {
    more.emplace_back("url", std::format("mongodb://localhost:{}/?directConnection=true", server.port()));
    more.emplace_back("timeout", "3");
    return make_sink("mongodb", more);
  };
  const std::string ca = certificates.path("ca.pem"), cert = certificates.path("client.pem"),
                    key = certificates.path("client.key");
  auto good = with({{"tls-ca", ca}, {"tls-cert", cert}, {"tls-key", key}});
  ASSERT_TRUE(good) << good.error().message;
  const auto stored = write_to(**good, {frame_record({})});
  EXPECT_TRUE(stored) << stored.error().message;
  EXPECT_FALSE(write_to(**with({{"tls-ca", ca}}), {frame_record({})})) << "without a certificate of its own";
  EXPECT_FALSE(
      write_to(**with({{"tls-ca", certificates.path("other-ca.pem")}, {"tls-cert", cert}, {"tls-key", key}}),
               {frame_record({})}))
      << "another authority";
}

TEST(MongodbOptions, MistakesAreNamed) {
  const auto error = [](const Options& options) {
    auto sink = make_sink("mongodb", options);
    return sink ? std::string() : sink.error().message;
  };
  EXPECT_THAT(error({}), HasSubstr("url is missing"));
  EXPECT_THAT(error({{"url", "http://h"}}), HasSubstr("no address of MongoDB"));
  EXPECT_THAT(error({{"url", "mongodb://h"}, {"database", "a b"}}), HasSubstr("'a b' is no name"));
  const std::string inline_password = error({{"url", "mongodb://me:s3cret@h"}});
  EXPECT_THAT(inline_password, AllOf(HasSubstr("password-file"), ::testing::Not(HasSubstr("s3cret"))));
}

std::string bson_of(const std::string& json) {
  JsonToBson reader;
  bson_t document = BSON_INITIALIZER;
  const bool read = reader.append(json, document);
  std::string text = "refused";
  if (read) {
    char* const made = bson_as_relaxed_extended_json(&document, nullptr);
    text = made;
    bson_free(made);
  }
  bson_destroy(&document);
  return text;
}

TEST(JsonToBson, ReadsWhatOurWriterWrites) {
  const std::string json =
      R"({ "a" : 1, "b" : [ 1.5, -2, 3000000000, true, false, null ], "c" : { "d" : "x\"\\\n" }, "e" : [  ] })";
  EXPECT_EQ(Json::parse(bson_of(json)), Json::parse(json));
  EXPECT_EQ(Json::parse(bson_of(R"({"\u00e9\ud83d\ude00":"\u0041\u00e9"})")), Json::parse(R"({"é😀":"Aé"})"));
  EXPECT_EQ(Json::parse(bson_of(R"({"a.b":1,"$set":{"c.d":2}})")),
            Json::parse(R"({"a_b":1,"_set":{"c.d":2}})"));
  std::string record;
  write_record_json(*frame_record({.objects = 10, .events = 2}), record);
  EXPECT_EQ(Json::parse(bson_of(record)), Json::parse(record));
}

TEST(JsonToBson, RefusesWhatIsNone) {
  for (const char* json : {"", "[]", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":tru}", "{\"a\":\"x}",
                           "{} x", "{\"a\":\"\\q\"}", "{\"a\":\"\\u12\"}"})
    EXPECT_EQ(bson_of(json), "refused") << json;
  EXPECT_EQ(bson_of("{\"a\":" + std::string(60, '[') + std::string(60, ']') + "}"), "refused") << "too deep";
}

}  // namespace
}  // namespace sightglass::adapters
