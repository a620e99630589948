// F-20: partial failures of bulk requests neither lose nor repeat records. Stores fail at random, item by
// item and as a whole, while records flow; the store then has the expected set, and the dead letters are
// those that it refused for good. 2,000 records, 50,000 in the long form. Only on the doubles: real
// servers do not fail on demand.
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>
#include <nlohmann/json.hpp>

#include "sightglass/adapters/sink_flow_test_support.h"
#include "tests/long_form.h"

namespace sightglass::adapters {
namespace {

using Json = nlohmann::json;
using Ids = std::set<std::string>;
using testing::Flow;
using testing::frame_record;

int records_of_f20() { return test::long_or(50'000, 2'000); }

Json item(const char* fault, double probability, bool sticky = false) {
  return {{"fault", fault}, {"probability", probability}, {"sticky", sticky}};
}
Json request(const char* fault, double probability, const char* contains) {
  return {{"fault", fault}, {"scope", "request"}, {"probability", probability}, {"contains", contains}};
}
// Each fault of requests once at a known place, so that none is missed by chance, then at random.
Json rules(std::vector<Json> items, const std::vector<const char*>& faults, const char* contains,
           double probability = 0.04) {
  int place = 3;
  for (const char* fault : faults) {
    Json once = request(fault, 1, contains);
    once["skip"] = place += 2;
    once["count"] = 1;
    items.push_back(std::move(once));
  }
  for (const char* fault : faults) items.push_back(request(fault, probability, contains));
  return items;
}

// What the store met and has, and what was filed as a dead letter.
struct Result20 {
  Ids frames, objects;    // stored
  Ids refused, injected;  // keys that were refused for good; faults that were met at all
  Ids dead;               // uuids of dead letters
};

Ids dead_letters(const std::string& folder) {
  Ids dead;
  for (const std::string& line : testing::lines_of(folder + "/dead/store.jsonl"))
    EXPECT_TRUE(dead.insert(Json::parse(line)["uuid"]).second) << "a dead letter is filed once: " << line;
  return dead;
}

void take_injected(const test::ServerProcess& server, const char* refusal, Result20& result) {
  const Json met = server.control("injected");
  for (const auto& [fault, keys] : met.items()) {
    result.injected.insert(fault);
    if (fault == refusal) result.refused.insert(keys.begin(), keys.end());
  }
}

// The first few that one has and the other has not.
std::string difference(const Ids& left, const Ids& right) {
  std::string text;
  for (const auto& [a, b, sign] : {std::tuple(&left, &right, '+'), std::tuple(&right, &left, '-')})
    for (const std::string& id : *a)
      if (!b->contains(id) && text.size() < 400) text += std::string(1, sign) + id + " ";
  return text;
}

// A document that is refused takes nobody with it: neither those of other records, nor the others of its own.
void expect_f20(const Flow& flow, const Result20& result, const Ids& faults) {
  EXPECT_EQ(result.injected, faults) << "the mix was met";
  Ids frames = flow.uuids(), objects, dead;
  for (const std::string& uuid : flow.uuids()) objects.insert(uuid + ":0");
  for (const std::string& key : result.refused) {
    dead.insert(key.substr(0, key.find(':')));
    frames.erase(key), objects.erase(key);
  }
  EXPECT_FALSE(dead.empty());
  std::string refused;
  for (const std::string& key : result.refused) refused += key + " ";
  SCOPED_TRACE("refused: " + refused);
  EXPECT_EQ(difference(result.frames, frames), "") << "frames: + invented, - lost";
  EXPECT_EQ(difference(result.objects, objects), "") << "objects: + invented, - lost";
  EXPECT_EQ(difference(result.dead, dead), "") << "dead letters: + invented, - lost";
  EXPECT_EQ(flow.status().dead_letters, dead.size());
  EXPECT_LE(flow.most_queued(), 700u) << "memory is bounded";
}

class F20Elasticsearch : public ::testing::Test {
 protected:
  Ids ids(const char* kind) const {
    Ids all;
    const Json indexes = server.control("ids", {{"index", std::string("f20-") + kind + "-*"}});
    for (const Json& index : indexes)
      for (const Json& id : index) EXPECT_TRUE(all.insert(id).second) << "in two indexes: " << id;
    return all;
  }
  test::TemporaryFolder folder;
  test::ServerProcess server = test::ServerProcess::script("elasticsearch_double.py");
  const testing::Options options{{"url", "http://" + server.address()}, {"index", "f20"}, {"timeout", "5"}};
};

TEST_F(F20Elasticsearch, RandomMixOfFaultsLeavesTheExpectedSet) {
  Flow flow("elasticsearch", options, folder.path(), 40);
  server.control(
      "faults",
      {{"seed", 20},
       {"rules", rules({item("400", 0.02, true), item("409", 0.02), item("429", 0.05), item("503", 0.03)},
                       {"cut_before", "cut_after", "truncated", "garbage", "429", "503"}, "_bulk")}});
  flow.give_many(records_of_f20());
  ASSERT_TRUE(flow.wait_stored());
  Result20 result{.frames = ids("frames"), .objects = ids("objects"), .dead = dead_letters(folder.path())};
  take_injected(server, "400", result);
  expect_f20(flow, result, {"400", "409", "429", "503", "cut_before", "cut_after", "truncated", "garbage"});
}

TEST_F(F20Elasticsearch, LateUpdatesFindTheirFramesWhateverFailsBetween) {
  Flow flow("elasticsearch", options, folder.path(), 10);
  server.control("faults", {{"seed", 21},
                            {"rules",
                             {item("429", 0.1), item("503", 0.05), request("cut_before", 0.05, "_bulk"),
                              request("cut_after", 0.05, "_bulk")}}});
  const int count = records_of_f20() / 20;
  for (int i = 0; i < count; ++i) {
    const RecordRef record = frame_record({.seq = i});
    flow.give(record);
    flow.give(testing::update_record(*record));
  }
  ASSERT_TRUE(flow.wait_stored());
  EXPECT_EQ(flow.status().dead_letters, 0u);
  const Json indexes = server.control("documents", {{"index", "f20-frames-*"}});
  int updated = 0;
  for (const Json& index : indexes)
    for (const Json& document : index) updated += document.contains("late");
  EXPECT_EQ(updated, count);
}

class F20Mongodb : public ::testing::Test {
 protected:
  Ids ids(const char* kind) const {
    const Json all = server.control("ids", {{"namespace", std::string("f20.") + kind}});
    return {all.begin(), all.end()};
  }
  test::TemporaryFolder folder;
  test::ServerProcess server = test::ServerProcess::script("mongodb_double.py");
  const testing::Options options{
      {"url", "mongodb://" + server.address()}, {"database", "f20"}, {"timeout", "5"}};
};

TEST_F(F20Mongodb, RandomMixOfFaultsLeavesTheExpectedSet) {
  Flow flow("mongodb", options, folder.path(), 40);
  const std::vector<const char*> faults{
      "retryable", "retryable_write_concern", "writeConcernError", "10107", "cut_before", "cut_after",
      "truncated"};
  server.control(
      "faults",
      {{"seed", 20}, {"rules", rules({item("121", 0.02, true), item("11000", 0.03)}, faults, "update")}});
  flow.give_many(records_of_f20());
  ASSERT_TRUE(flow.wait_stored());
  Result20 result{.frames = ids("frames"), .objects = ids("objects"), .dead = dead_letters(folder.path())};
  take_injected(server, "121", result);
  expect_f20(flow, result,
             {"121", "11000", "retryable", "retryable_write_concern", "writeConcernError", "10107",
              "cut_before", "cut_after", "truncated"});
}

class F20Kafka : public ::testing::Test {
 protected:
  F20Kafka() { server.control("topic", {{"topic", "frames"}, {"partitions", 3}}); }
  // What the topic holds, in order: uuids by source.
  std::map<std::string, std::vector<std::string>> read() const {
    const Json stored = server.control("records", {{"topic", "frames"}});
    EXPECT_EQ(stored["packed"], 0);
    std::map<std::string, std::vector<std::string>> uuids;
    for (const Json& record : stored["records"]) uuids[record["key"]].push_back(record["headers"]["uuid"]);
    return uuids;
  }
  static std::string base64(const std::string& text) {
    std::string encoded(4 * ((text.size() + 2) / 3) + 1, 0);
    encoded.resize(
        size_t(EVP_EncodeBlock(reinterpret_cast<unsigned char*>(encoded.data()),
                               reinterpret_cast<const unsigned char*>(text.data()), int(text.size()))));
    return encoded;
  }
  test::TemporaryFolder folder;
  test::ServerProcess server = test::ServerProcess::script("kafka_double.py");
  const testing::Options options{{"brokers", server.address()},
                                 {"topic", "frames"},
                                 {"format", "json"},
                                 {"compression", "none"},
                                 {"send-timeout", "1"}};
};

TEST_F(F20Kafka, RandomMixOfFaultsStoresEachOnceInTheOrderOfItsSource) {
  Flow flow("kafka", options, folder.path(), 40);
  server.control("faults",
                 {{"seed", 20},
                  {"rules", rules({item("6", 0.01), item("7", 0.01), item("19", 0.01)},
                                  {"cut_before", "cut_after", "truncated"}, "Produce frames", 0.01)}});
  std::map<std::string, std::vector<std::string>> wanted;
  const int count = records_of_f20();
  for (int i = 0; i < count; ++i) {
    const RecordRef record = frame_record({.source_id = i % 2 ? "odd" : "even", .seq = i});
    wanted[base64(record->source_id)].push_back(base64(stream::to_string(record->uuid)));
    flow.give(record);
  }
  ASSERT_TRUE(flow.wait_stored());
  EXPECT_TRUE(read() == wanted);
  EXPECT_EQ(flow.status().dead_letters, 0u);
  const Json injected = server.control("injected");
  for (const char* fault : {"cut_before", "cut_after", "truncated"})
    EXPECT_TRUE(injected.contains(fault)) << fault;
}

TEST_F(F20Kafka, RecordThatStandsInABatchTwiceIsSentOnce) {
  auto sink = testing::make_sink("kafka", options);
  ASSERT_TRUE(sink) << sink.error().message;
  ASSERT_TRUE((*sink)->start());
  const RecordRef twice = frame_record({}), other = frame_record({.seq = 1});
  std::vector<Stored> outcome(4, Stored::yes);
  const std::vector<RecordRef> batch{twice, other, twice, twice};
  ASSERT_TRUE(test::eventually([&] {
    const Status written = (*sink)->write(batch, outcome);
    return written && outcome == std::vector<Stored>(4, Stored::yes);
  }));
  EXPECT_EQ(read().begin()->second.size(), 2u);
}

}  // namespace
}  // namespace sightglass::adapters
