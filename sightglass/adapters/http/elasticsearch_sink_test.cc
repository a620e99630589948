#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <format>
#include <nlohmann/json.hpp>

#include "sightglass/adapters/http/elasticsearch_setup.h"
#include "sightglass/adapters/sink_flow_test_support.h"
#include "sightglass/net/http_client.h"

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

class Elasticsearch : public ::testing::Test {
 protected:
  explicit Elasticsearch(std::vector<std::string> arguments = {})
      : server_("ELASTICSEARCH", "elasticsearch_double.py", "http://", with_data(std::move(arguments))) {
    static int number = 0;
    prefix_ = std::format("t{}-{}", getpid(), ++number);
  }
  std::vector<std::string> with_data(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--data", (folder_.path() / "data").string()});
    return arguments;
  }
  Options options(Options more = {}) const {
    more.emplace_back("url", server_.url());
    more.emplace_back("index", prefix_);
    return more;
  }
  std::unique_ptr<Sink> open(Options more = {}, uint64_t batch_bytes = 0) const {
    return testing::open_sink("elasticsearch", options(std::move(more)), batch_bytes);
  }
  Json ask(const std::string& method, const std::string& path, const Json& body = nullptr) {
    const std::string text = body.is_null() ? "" : body.dump();
    net::HttpRequest request{.method = method, .url = server_.url() + path};
    request.body = net::bytes_of(text);
    if (!text.empty()) request.headers = {{"Content-Type", "application/json"}};
    const auto answer = client_.request(request);
    return answer ? Json::parse(answer->body, nullptr, false) : Json();
  }
  // By id, as whoever searches finds them.
  std::map<std::string, Json> found(const std::string& kind) {
    (void)ask("POST", "/" + prefix_ + "-*/_refresh");
    const Json answer = ask("POST", std::format("/{}-{}-*/_search", prefix_, kind), {{"size", 10'000}});
    std::map<std::string, Json> all;
    if (answer.contains("hits"))
      for (const Json& hit : answer["hits"]["hits"]) all[hit["_id"]] = hit["_source"];
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
  std::string prefix_;
  net::HttpClient client_;
};

TEST_F(Elasticsearch, StoresFramesObjectsAndEventsUnderTheirKeysInTheIndexOfTheirDay) {
  auto sink = open();
  auto old =
      std::make_shared<Record>(*frame_record({.source_id = "dock", .seq = 3, .objects = 2, .events = 1}));
  // 2023-11-14, by its uuid: whenever it is stored.
  const int64_t made = 1'700'000'000'000;
  for (int i = 0; i < 6; ++i) old->uuid[size_t(i)] = uint8_t(made >> (40 - 8 * i));
  auto header = std::make_shared<stream::Message>(*old->message);
  header->frame->created_us = made * 1000;
  old->message = std::move(header);
  EXPECT_THAT(outcome_of(*sink, {old}), Each(Stored::yes));
  const std::string uuid = stream::to_string(old->uuid);
  auto frames = found("frames");
  ASSERT_TRUE(frames.contains(uuid));
  EXPECT_EQ(frames[uuid]["@timestamp"], made);
  EXPECT_EQ(frames[uuid]["source_id"], "dock");
  EXPECT_EQ(frames[uuid]["objects"].size(), 2u);
  EXPECT_TRUE(found("objects").contains(uuid + ":1"));
  EXPECT_EQ(found("events")[uuid + ":gate:cross:0"]["track"], 1);
  EXPECT_FALSE(ask("GET", std::format("/{}-frames-2023.11.14/_mapping", prefix_)).contains("error"));
}

TEST_F(Elasticsearch, FieldsAreTyped) {
  auto sink = open();
  EXPECT_THAT(outcome_of(*sink, {frame_record({.objects = 1})}), Each(Stored::yes));
  const Json mapping = ask("GET", std::format("/{}-objects-*/_mapping", prefix_));
  const Json properties = mapping.begin().value()["mappings"]["properties"];
  EXPECT_EQ(properties["source_id"]["type"], "keyword");
  EXPECT_EQ(properties["@timestamp"]["type"], "date");
  EXPECT_EQ(properties["pts"]["type"], "long");
  EXPECT_EQ(properties["detection"]["properties"]["confidence"]["type"], "float");
}

TEST_F(Elasticsearch, RepeatsShowOnceAndLateUpdatesMerge) {
  auto sink = open();
  const RecordRef record = frame_record({.objects = 1});
  const RecordRef update = testing::update_record(*record);
  for (int i = 0; i < 2; ++i) EXPECT_THAT(outcome_of(*sink, {record, update}), Each(Stored::yes));
  const std::string uuid = stream::to_string(record->uuid);
  EXPECT_EQ(found("frames").size(), 1u);
  auto objects = found("objects");
  EXPECT_EQ(objects.size(), 2u);
  EXPECT_EQ(found("frames")[uuid]["late"]["report:verdict"]["label"], "checked");
  EXPECT_EQ(objects[uuid + ":0"]["late"]["mood:age"]["value"], 34);
  EXPECT_EQ(objects[uuid + ":0"]["roi_type"], "person") << "what was there stays";
}

TEST_F(Elasticsearch, UpdateOfAFrameThatIsNotThereIsADeadLetter) {
  auto sink = open();
  EXPECT_THAT(outcome_of(*sink, {testing::update_record(*frame_record({}))}), ElementsAre(Stored::never));
  EXPECT_THAT(sink->refusal(), HasSubstr("404"));
}

TEST_F(Elasticsearch, OnlyTheItemsThatFailedComeAgain) {
  SIGHTGLASS_ON_DOUBLE_ONLY(server_);
  auto sink = open();
  const std::vector<RecordRef> records = {frame_record({.seq = 0}), frame_record({.seq = 1}),
                                          frame_record({.seq = 2})};
  const auto key = [&](int i) { return stream::to_string(records[size_t(i)]->uuid); };
  server_.process().control("faults", {{"rules",
                                        {{{"fault", "429"}, {"contains", key(0)}, {"count", 1}},
                                         {{"fault", "400"}, {"contains", key(1)}},
                                         {{"fault", "409"}, {"contains", key(2)}}}}});
  EXPECT_THAT(outcome_of(*sink, records), ElementsAre(Stored::retry, Stored::never, Stored::yes));
  EXPECT_THAT(outcome_of(*sink, {records[0]}), ElementsAre(Stored::yes));
  EXPECT_EQ(found("frames").size(), 2u);
}

TEST_F(Elasticsearch, ConflictOfAMergeComesAgain) {
  SIGHTGLASS_ON_DOUBLE_ONLY(server_);
  auto sink = open();
  const RecordRef frame = frame_record({});
  ASSERT_THAT(outcome_of(*sink, {frame}), ElementsAre(Stored::yes));
  server_.process().control(
      "faults",
      {{"rules", {{{"fault", "409"}, {"contains", stream::to_string(frame->uuid)}, {"count", 1}}}}});
  const std::vector<RecordRef> update = {testing::update_record(*frame)};
  EXPECT_THAT(outcome_of(*sink, update), ElementsAre(Stored::retry));
  EXPECT_THAT(outcome_of(*sink, update), ElementsAre(Stored::yes));
}

TEST(ElasticsearchAnswers, MayHoldAnything) {
  const Json odd = {{"type", nullptr}, {"reason", 7}, {"status", "none"}};
  EXPECT_EQ(text_of(odd, "type"), "");
  EXPECT_EQ(text_of(odd, "reason"), "");
  EXPECT_EQ(text_of(Json::array(), "reason"), "");
  EXPECT_EQ(number_of(odd, "status", 500), 500);
  // Something else at that address.
  for (const char* body :
       {"{}", "[]", "7", "<html>", R"({"version":"1.2"})", R"({"version":null})",
        R"({"version":{"distribution":null},"index_templates":[{}],"t":[]})",
        R"({"version":{},"index_templates":{}})", R"({"version":{},"index_templates":[7]})"}) {
    const auto ask = [&](std::string_view, std::string_view, std::string_view) -> Result<net::HttpAnswer> {
      net::HttpAnswer answer;
      answer.status = 200;
      answer.body = body;
      return answer;
    };
    EXPECT_FALSE(set_up_elasticsearch({.prefix = "t", .keep = 60}, ask)) << body;
  }
}

TEST_F(Elasticsearch, DeadLettersAreFiledWithTheirReason) {
  SIGHTGLASS_ON_DOUBLE_ONLY(server_);
  Flow flow("elasticsearch", options(), folder_.path());
  const RecordRef bad = frame_record({});
  server_.process().control("faults",
                            {{"rules", {{{"fault", "400"}, {"contains", stream::to_string(bad->uuid)}}}}});
  flow.give(bad);
  flow.give(frame_record({}));
  ASSERT_TRUE(flow.wait_stored());
  EXPECT_EQ(flow.status().dead_letters, 1u);
  EXPECT_THAT(flow.status().last_error, HasSubstr("document_parsing_exception"));
  const auto lines = testing::lines_of(folder_.path() / "dead" / "store.jsonl");
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(Json::parse(lines[0])["uuid"], stream::to_string(bad->uuid));
}

TEST_F(Elasticsearch, RequestsThatAreTooLargeAreHalvedAndCutAtTheBatchsBytes) {
  SIGHTGLASS_ON_DOUBLE_ONLY(server_);
  auto sink = open({{"gzip", "false"}});
  std::vector<RecordRef> records;
  for (int i = 0; i < 20; ++i) records.push_back(frame_record({.seq = i, .objects = 5}));
  server_.process().control("settings", {{"max_body", 12'000}});
  EXPECT_THAT(outcome_of(*sink, records), Each(Stored::yes));
  EXPECT_EQ(found("frames").size(), 20u);
  server_.process().control("settings", {{"max_body", 100}});
  EXPECT_THAT(outcome_of(*sink, {frame_record({})}), ElementsAre(Stored::never))
      << "alone, and still too large";

  server_.process().control("settings", {{"max_body", 100 << 20}});
  auto small = open({{"gzip", "false"}}, 8'000);
  const size_t before = server_.process().control("requests")["bulks"].size();
  for (auto& record : records) record = frame_record({.objects = 5});
  EXPECT_THAT(outcome_of(*small, records), Each(Stored::yes));
  EXPECT_GT(server_.process().control("requests")["bulks"].size(), before + 5);
  EXPECT_EQ(found("frames").size(), 40u);
}

TEST_F(Elasticsearch, NodeThatIsAwayIsPassedOver) {
  auto proxy = test::ServerProcess::script("fault_proxy.py", {"--to", "127.0.0.1:1"});
  const std::string gone = std::format("http://127.0.0.1:{}", test::free_port());
  auto sink = make_sink(
      "elasticsearch",
      {{"url", std::format("<{},http://{},{}>", gone, proxy.address(), server_.url())}, {"index", prefix_}});
  ASSERT_TRUE(sink) << sink.error().message;
  ASSERT_TRUE((*sink)->start());
  EXPECT_THAT(outcome_of(**sink, {frame_record({})}), Each(Stored::yes));
}

TEST_F(Elasticsearch, TemplateOfOthersIsAConflictThatNamesBothSides) {
  (void)ask("PUT", std::format("/_index_template/{}-frames", prefix_),
            {{"index_patterns", {prefix_ + "-frames-*"}},
             {"template", {{"mappings", {{"properties", {{"seq", {{"type", "text"}}}}}}}}}});
  auto sink = make_sink("elasticsearch", options());
  const Status started = (*sink)->start();
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message,
              AllOf(HasSubstr("field seq"), HasSubstr("text there"), HasSubstr("writes long")));
}

TEST_F(Elasticsearch, TemplateWithFurtherFieldsIsTaken) {
  (void)ask(
      "PUT", std::format("/_index_template/{}-frames", prefix_),
      {{"index_patterns", {prefix_ + "-frames-*"}},
       {"template",
        {{"mappings", {{"properties", {{"seq", {{"type", "long"}}}, {"site", {{"type", "keyword"}}}}}}}}}});
  auto sink = open();
  EXPECT_THAT(outcome_of(*sink, {frame_record({})}), Each(Stored::yes));
}

TEST_F(Elasticsearch, LifeCycleIsMadeWhenAskedFor) {
  SIGHTGLASS_ON_DOUBLE_ONLY(server_);
  auto sink = open({{"keep", "86400"}});
  const Json policy = ask("GET", "/_ilm/policy/" + prefix_);
  EXPECT_EQ(policy[prefix_]["policy"]["phases"]["delete"]["min_age"], "86400s");
  open({{"keep", "86400"}});  // is there already
}

TEST_F(Elasticsearch, ServerThatIsAwayAtTheStartIsWaitedFor) {
  SIGHTGLASS_ON_DOUBLE_ONLY(server_);
  server_.process().stop();
  Flow flow("elasticsearch", options(), folder_.path());
  flow.give_many(20);
  EXPECT_TRUE(test::eventually([&] { return !flow.status().is_up && !flow.status().last_error.empty(); }));
  server_.process().restart();
  ASSERT_TRUE(flow.wait_stored());
  expect_all(flow, "away at the start");
}

// F-20: 401 and 403 lose nothing; they are held until somebody mends them.
TEST_F(Elasticsearch, F20RefusedCredentialsHoldTheRecordsAndAreSeen) {
  SIGHTGLASS_ON_DOUBLE_ONLY(server_);
  Flow flow("elasticsearch", options(), folder_.path());
  server_.process().control("faults", {{"rules", {{{"fault", "401"}, {"scope", "request"}}}}});
  flow.give_many(20);
  EXPECT_TRUE(test::eventually([&] { return flow.status().last_error.contains("401"); }));
  EXPECT_FALSE(flow.status().is_up);
  EXPECT_EQ(flow.status().delivered, 0u);
  server_.process().control("faults");
  ASSERT_TRUE(flow.wait_stored());
  expect_all(flow, "401");
  EXPECT_TRUE(flow.status().is_up);
}

TEST_F(Elasticsearch, EveryFaultOfRequestsLosesAndInventsNothing) {
  SIGHTGLASS_ON_DOUBLE_ONLY(server_);
  Flow flow("elasticsearch", options({{"timeout", "2"}}), folder_.path(), 20);
  for (const char* fault : {"cut_before", "cut_after", "truncated", "garbage", "429", "500", "503", "403"})
    flow.give_many(100, [&](int i) {
      if (i == 30)
        server_.process().control(
            "faults",
            {{"rules", {{{"fault", fault}, {"scope", "request"}, {"contains", "_bulk"}, {"count", 2}}}}});
    });
  ASSERT_TRUE(flow.wait_stored());
  expect_all(flow, "faults of requests");
}

TEST_F(Elasticsearch, F21ServerStoppedPausedAndRestartedWhileRecordsFlow) {
  SIGHTGLASS_ON_DOUBLE_ONLY(server_);
  Flow flow("elasticsearch", options({{"timeout", "2"}}), folder_.path());
  testing::disturb(flow, server_.process());
  ASSERT_TRUE(flow.wait_stored());
  expect_all(flow, "stopped, paused, restarted");
}

class ElasticsearchWithPassword : public Elasticsearch {
 protected:
  ElasticsearchWithPassword()
      : Elasticsearch({"--user", "writer", "--password", "s3cret", "--api-key", "id:key"}) {
    std::ofstream(folder_.path() / "password") << "s3cret\n";
    std::ofstream(folder_.path() / "wrong") << "other\n";
    std::ofstream(folder_.path() / "key") << "id:key\n";
  }
  std::string file(const char* name) const { return folder_.path() / name; }
};

TEST_F(ElasticsearchWithPassword, CredentialsComeFromFiles) {
  SIGHTGLASS_ON_DOUBLE_ONLY(server_);
  EXPECT_THAT(
      outcome_of(*open({{"user", "writer"}, {"password-file", file("password")}}), {frame_record({})}),
      Each(Stored::yes));
  EXPECT_THAT(outcome_of(*open({{"api-key-file", file("key")}}), {frame_record({})}), Each(Stored::yes));
  const auto refused =
      write_to(*open({{"user", "writer"}, {"password-file", file("wrong")}}), {frame_record({})});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, AllOf(HasSubstr("401"), ::testing::Not(HasSubstr("other"))));
}

TEST_F(ElasticsearchWithPassword, ChangedPasswordFileIsReadAgain) {
  SIGHTGLASS_ON_DOUBLE_ONLY(server_);
  auto sink = open({{"user", "writer"}, {"password-file", file("wrong")}});
  EXPECT_FALSE(write_to(*sink, {frame_record({})}));
  std::ofstream(file("wrong")) << "s3cret\n";
  (void)write_to(*sink, {frame_record({})});
  EXPECT_TRUE(write_to(*sink, {frame_record({})}));
}

class OpenSearch : public Elasticsearch {
 protected:
  OpenSearch() : Elasticsearch({"--opensearch"}) {}
};

TEST_F(OpenSearch, StoresAndMakesALifeCycleOfItsOwnKind) {
  SIGHTGLASS_ON_DOUBLE_ONLY(server_);
  auto sink = open({{"keep", "3600"}});
  EXPECT_THAT(outcome_of(*sink, {frame_record({.objects = 2})}), Each(Stored::yes));
  EXPECT_EQ(found("objects").size(), 2u);
  EXPECT_EQ(ask("GET", "/_plugins/_ism/policies/" + prefix_)["policy"]["default_state"], "kept");
}

TEST(ElasticsearchTls, ServerIsCheckedAgainstTheAuthority) {
  const test::TestCertificates certificates;
  auto server = test::ServerProcess::script("elasticsearch_double.py", certificates.server_arguments());
  const std::string url = std::format("https://localhost:{}", server.port());
  auto good = make_sink("elasticsearch", {{"url", url}, {"tls-ca", certificates.path("ca.pem")}});
  ASSERT_TRUE(good) << good.error().message;
  EXPECT_THAT(outcome_of(**good, {frame_record({})}), Each(Stored::yes));
  auto bad = make_sink("elasticsearch", {{"url", url}, {"tls-ca", certificates.path("other-ca.pem")}});
  EXPECT_FALSE(write_to(**bad, {frame_record({})}));
}

TEST(ElasticsearchOptions, MistakesAreNamed) {
  const auto error = [](const Options& options) {
    auto sink = make_sink("elasticsearch", options);
    return sink ? std::string() : sink.error().message;
  };
  EXPECT_THAT(error({}), HasSubstr("url is missing"));
  EXPECT_THAT(error({{"url", "ftp://h"}}), HasSubstr("no http:// or https:// address"));
  EXPECT_THAT(error({{"url", "http://h"}, {"index", "Upper"}}), HasSubstr("'Upper' is no prefix"));
  EXPECT_THAT(error({{"url", "http://h"}, {"user", "a"}, {"api-key-file", "b"}}),
              HasSubstr("exclude each other"));
  for (const char* key : {"password-file", "api-key-file"})
    EXPECT_THAT(error({{"url", "http://h"}, {key, "/nowhere"}}),
                HasSubstr(std::format("{}: the file /nowhere cannot be read", key)));
}

}  // namespace
}  // namespace sightglass::adapters
