// What librdkafka's mock lacks, on a double that is written by others: who may come in, topics that are made,
// limits of the brokers, answers that make no sense, messages that are gone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <mutex>
#include <set>
#include <thread>

#include "sightglass/adapters/kafka/kafka_test_support.h"
#include "tests/long_form.h"

namespace sightglass::adapters {
namespace {

using namespace testing;
using test::ServerProcess;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

ServerProcess broker(std::vector<std::string> arguments = {}) {
  return ServerProcess::script("kafka_double.py", std::move(arguments));
}

Result<std::unique_ptr<Sink>> sink(const ServerProcess& server, Settings settings) {
  settings.insert(settings.begin(), {"brokers", server.address()});
  return make(*find_sink("kafka"), settings, "events");
}

Result<std::unique_ptr<Source>> source(const ServerProcess& server, const std::string& topic,
                                       Settings settings) {
  settings.insert(
      settings.begin(),
      {{"brokers", server.address()}, {"topics", topic}, {"group", "g"}, {"commit-interval", "0.05"}});
  return make(*find_source("kafka"), settings, "source");
}

class Collect final : public Deliver {
 public:
  bool deliver(stream::Delivery delivery) override {
    if (delivery.settlement) delivery.settlement->processed();
    const std::scoped_lock lock(mutex_);
    uuids_.insert(delivery.message->frame ? delivery.message->frame->uuid : stream::Uuid());
    return true;
  }
  std::unique_ptr<Deliver> another() override { return nullptr; }
  size_t count() const {
    const std::scoped_lock lock(mutex_);
    return uuids_.size();
  }
  size_t distinct() const {
    const std::scoped_lock lock(mutex_);
    return std::set(uuids_.begin(), uuids_.end()).size();
  }
  bool has_repeats() const {
    const std::scoped_lock lock(mutex_);
    return std::ranges::adjacent_find(uuids_) != uuids_.end();
  }

 private:
  mutable std::mutex mutex_;
  std::multiset<stream::Uuid> uuids_;
};

bool reads(Result<std::unique_ptr<Source>> made, size_t count) {
  if (!made || !(*made)->start()) return false;
  Collect out;
  std::jthread thread([&](std::stop_token stop) { (void)(*made)->run(out, stop); });
  return test::eventually([&] { return out.count() >= count; }, 30s) && out.count() == count;
}

std::vector<RecordRef> frames(size_t count, const std::string& picture = "picture") {
  FrameMaker a("cam-a"), b("cam-b");
  std::vector<RecordRef> records;
  for (size_t i = 0; i < count; ++i) records.push_back(record((i % 2 ? a : b).frame(), picture));
  return records;
}

size_t stored(Sink& sink, std::span<const RecordRef> records) {
  std::vector<Stored> outcome(records.size(), Stored::yes);
  const Status written = sink.write(records, outcome);
  EXPECT_TRUE(written) << written.error().message;
  return size_t(std::ranges::count(outcome, Stored::yes));
}

TEST(KafkaBroker, UsersProveWhoTheyAreInEveryWay) {
  const test::TemporaryFolder folder;
  std::ofstream(folder.path() / "right") << "marker-4c1d\n";
  std::ofstream(folder.path() / "wrong") << "marker-77aa\n";
  auto server =
      broker({"--sasl", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512", "--user", "gate", "--password", "marker-4c1d"});
  for (const std::string mechanism : {"plain", "scram-sha-256", "scram-sha-512"}) {
    const std::string topic = "frames-" + mechanism;
    server.control("topic", {{"topic", topic}, {"partitions", 2}});
    const auto with = [&](const char* file) {
      return Settings{{"sasl", mechanism}, {"user", "gate"}, {"password-file", folder.path() / file}};
    };
    auto settings = with("right");
    settings.emplace_back("video-topic", topic);
    auto writing = sink(server, settings);
    const Status started = (*writing)->start();
    ASSERT_TRUE(started) << mechanism << ": " << started.error().message;
    EXPECT_EQ(stored(**writing, frames(10)), 10u);
    EXPECT_TRUE(reads(source(server, topic, with("right")), 10)) << mechanism;

    settings = with("wrong");
    settings.emplace_back("topic", topic);
    const Status refused = (*sink(server, settings))->start();
    ASSERT_FALSE(refused) << mechanism;
    EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(refused.error().message, HasSubstr("uthentication"));
    EXPECT_THAT(refused.error().message, Not(HasSubstr("marker")));
  }
}

TEST(KafkaBroker, CertificatesAreChecked) {
  const test::TestCertificates certificates;
  auto server = broker(certificates.server_arguments());
  server.control("topic", {{"topic", "frames"}, {"partitions", 1}});
  auto trusting = sink(server, {{"video-topic", "frames"}, {"tls-ca", certificates.path("ca.pem")}});
  const Status started = (*trusting)->start();
  ASSERT_TRUE(started) << started.error().message;
  EXPECT_EQ(stored(**trusting, frames(5)), 5u);
  EXPECT_TRUE(reads(source(server, "frames", {{"tls-ca", certificates.path("ca.pem")}}), 5));
  const Status refused =
      (*sink(server, {{"topic", "frames"}, {"tls-ca", certificates.path("other-ca.pem")}}))->start();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, AnyOf(HasSubstr("SSL"), HasSubstr("certificate")));
  EXPECT_TRUE((*sink(server, {{"topic", "frames"}, {"security", "tls"}, {"tls-verify", "false"}}))->start());
}

TEST(KafkaBroker, DeniedTopicsAndGroupsAreErrorsAtTheStart) {
  auto server = broker();
  for (const char* topic : {"mine", "theirs"}) server.control("topic", {{"topic", topic}, {"partitions", 1}});
  server.control("deny", {{"topics", {"theirs"}}, {"groups", {"g"}}});
  const Status writing = (*sink(server, {{"topic", "theirs"}}))->start();
  ASSERT_FALSE(writing);
  EXPECT_THAT(writing.error().message, HasSubstr("'theirs'"));
  EXPECT_THAT(writing.error().message, HasSubstr("uthorization"));
  const Status reading = (*source(server, "mine", {}))->start();
  ASSERT_FALSE(reading);
  EXPECT_THAT(reading.error().message, HasSubstr("uthorization"));
}

TEST(KafkaBroker, MissingTopicsAreMadeWithAsManyPartitionsAsAreWanted) {
  auto server = broker({"--no-auto-create"});
  auto made = sink(server, {{"topic", "results"}, {"video-topic", "frames"}, {"partitions", "6"}});
  const Status started = (*made)->start();
  ASSERT_TRUE(started) << started.error().message;
  EXPECT_EQ(stored(**made, frames(10)), 10u);
  auto again = sink(server, {{"topic", "results"}, {"partitions", "7"}});
  const Status conflict = (*again)->start();
  ASSERT_FALSE(conflict);
  EXPECT_THAT(conflict.error().message, HasSubstr("has 6 partitions"));
  EXPECT_FALSE((*sink(server, {{"topic", "others"}}))->start());
}

TEST(KafkaBroker, LimitOfTheBrokersSendsPicturesIntoFiles) {
  const test::TemporaryFolder folder;
  auto server = broker({"--max-message", "20000"});
  server.control("topic", {{"topic", "frames"}, {"partitions", 1}});
  const auto large = frames(1, std::string(50'000, 'x'));
  std::vector<Stored> outcome(1, Stored::yes);
  auto refusing = sink(server, {{"video-topic", "frames"}});
  ASSERT_TRUE((*refusing)->start());
  ASSERT_TRUE((*refusing)->write(large, outcome));
  EXPECT_EQ(outcome[0], Stored::never);
  auto naming = sink(server, {{"video-topic", "frames"}, {"large-folder", folder.path()}});
  ASSERT_TRUE((*naming)->start());
  for (int attempt = 0; attempt < 3; ++attempt) {
    (void)(*naming)->write(large, outcome);
    if (outcome[0] == Stored::yes) break;
  }
  EXPECT_EQ(outcome[0], Stored::yes);
  EXPECT_TRUE(reads(source(server, "frames", {{"large-folders", folder.path()}}), 1));
}

TEST(KafkaBroker, F20NonsenseForAnswersLosesAndInventsNothing) {
  auto server = broker();
  server.control("topic", {{"topic", "frames"}, {"partitions", 3}});
  const size_t count = test::long_or(10'000, 2000);
  auto made = sink(server, {{"video-topic", "frames"},
                            {"send-timeout", "1"},
                            {"options", "socket.timeout.ms=2000,request.timeout.ms=1500"}});
  ASSERT_TRUE((*made)->start());
  nlohmann::json rules = nlohmann::json::array();
  for (const char* fault : {"garbage", "truncated", "cut_before", "cut_after"})
    rules.push_back({{"fault", fault},
                     {"scope", "request"},
                     {"contains", "Produce"},
                     {"probability", 0.05},
                     {"count", 5}});
  server.control("faults", {{"seed", 5}, {"rules", rules}});
  const auto records = frames(count);
  const auto end = std::chrono::steady_clock::now() + 120s;
  for (size_t first = 0; first < count; first += 50) {
    std::vector<RecordRef> left(records.begin() + ptrdiff_t(first), records.begin() + ptrdiff_t(first + 50));
    while (!left.empty() && std::chrono::steady_clock::now() < end) {
      std::vector<Stored> outcome(left.size(), Stored::yes);
      const Status written = (*made)->write(left, outcome);
      std::vector<RecordRef> again;
      for (size_t i = 0; i < left.size(); ++i)
        if (!written || outcome[i] == Stored::retry) again.push_back(left[i]);
      left = std::move(again);
    }
    ASSERT_TRUE(left.empty());
  }
  server.control("faults", {{"rules", nlohmann::json::array()}});
  std::map<std::string, std::vector<std::string>> wanted, found;
  for (const auto& one : records) wanted[one->source_id].push_back(stream::to_string(one->uuid));
  // After an answer that makes no sense a batch is sent again: its records have the uuids that they had.
  std::set<std::string> seen;
  for (const Read& one : read_topic(server.address(), "frames", count, 20s))
    if (seen.insert(one.uuid).second) found[one.key].push_back(one.uuid);
  EXPECT_TRUE(found == wanted);
}

TEST(KafkaBroker, GoesOnAtTheEarliestWhenWhatItWantsIsGone) {
  auto server = broker();
  server.control("topic", {{"topic", "frames"}, {"partitions", 1}});
  auto made = sink(server, {{"video-topic", "frames"}});
  ASSERT_TRUE((*made)->start());
  EXPECT_EQ(stored(**made, frames(10)), 10u);
  EXPECT_TRUE(reads(source(server, "frames", {}), 10));
  EXPECT_EQ(stored(**made, frames(20)), 20u);
  server.control("retention", {{"topic", "frames"}, {"partition", 0}, {"offset", 25}});
  Collect out;
  auto again = source(server, "frames", {});
  ASSERT_TRUE((*again)->start());
  std::jthread thread([&](std::stop_token stop) { (void)(*again)->run(out, stop); });
  EXPECT_TRUE(test::eventually([&] { return out.count() == 5; }));
}

// A source at work on a topic.
class Reading {
 public:
  Reading(const ServerProcess& server, const std::string& topic, const Settings& settings = {})
      : source_(*source(server, topic, settings)) {
    const Status started = source_->start();
    EXPECT_TRUE(started) << started.error().message;
    thread_ = std::jthread([this](std::stop_token stop) { (void)source_->run(out, stop); });
  }
  bool reaches(size_t count) {
    return test::eventually([&] { return out.count() >= count; }, 30s) && out.count() == count;
  }
  uint64_t gaps() const { return refused("offset_gap"); }
  uint64_t refused(const std::string& reason) const {
    const auto all = source_->rejected();
    const auto found = all.find(reason);
    return found == all.end() ? 0 : found->second;
  }
  Collect out;

 private:
  std::unique_ptr<Source> source_;
  std::jthread thread_;
};

// Three batches of ten frames.
void write_batches(const ServerProcess& server, const std::string& topic) {
  auto made = sink(server, {{"video-topic", topic}});
  ASSERT_TRUE((*made)->start());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(stored(**made, frames(10)), 10u);
}

TEST(KafkaBroker, WhatAnAnswerLacksIsReadAgain) {
  auto server = broker();
  server.control("topic", {{"topic", "frames"}, {"partitions", 1}});
  write_batches(server, "frames");
  server.control("omit", {{"topic", "frames"}, {"times", 1}});
  Reading reading(server, "frames");
  EXPECT_TRUE(reading.reaches(30)) << reading.out.count();
  EXPECT_FALSE(reading.out.has_repeats());
  EXPECT_EQ(reading.gaps(), 0u);
}

TEST(KafkaBroker, WhatTheLogLacksIsPassedAndCounted) {
  auto server = broker();
  server.control("topic", {{"topic", "frames"}, {"partitions", 1}});
  write_batches(server, "frames");
  server.control("omit", {{"topic", "frames"}, {"times", 1000}});
  Reading reading(server, "frames");
  EXPECT_TRUE(reading.reaches(20)) << reading.out.count();
  EXPECT_EQ(reading.gaps(), 1u);
}

// Each batch comes in an answer of its own, so that librdkafka gets nothing that stands behind the damaged
// one.
TEST(KafkaBroker, BatchThatIsDamagedOnTheDiskIsPassedAndCounted) {
  for (const int offset : {0, 10, 20}) {
    auto server = broker();
    server.control("topic", {{"topic", "frames"}, {"partitions", 1}});
    write_batches(server, "frames");
    server.control("damage", {{"topic", "frames"}, {"offset", offset}});
    Reading reading(server, "frames", {{"options", "fetch.message.max.bytes=1"}});
    EXPECT_TRUE(reading.reaches(20)) << reading.out.count();
    EXPECT_TRUE(test::eventually([&] { return reading.refused("damaged_batch") == 1; }, 30s)) << offset;
    // What comes later is read, and nothing of it is taken for damaged.
    write_batches(server, "frames");
    EXPECT_TRUE(reading.reaches(50)) << reading.out.count();
    EXPECT_FALSE(reading.out.has_repeats());
    EXPECT_EQ(reading.refused("damaged_batch"), 1u);
  }
}

TEST(KafkaBroker, OffsetsOfTransactionsAreNoLoss) {
  auto server = broker();
  for (const char* topic : {"frames", "copies"})
    server.control("topic", {{"topic", topic}, {"partitions", 1}});
  write_batches(server, "frames");
  const auto records = read_topic(server.address(), "frames", 30);
  ASSERT_EQ(records.size(), 30u);
  KafkaParams params;
  params.brokers = {server.address()};
  KafkaJournal journal("other");
  auto conf = kafka_conf(params, "", "other", journal);
  ASSERT_TRUE(set_option(conf->get(), "transactional.id", "other"));
  const auto client = kafka_client(RD_KAFKA_PRODUCER, std::move(*conf), "other");
  const auto is_done = [](rd_kafka_error_t* failed) {
    const KafkaOwned<rd_kafka_error_t> owned(failed);
    EXPECT_FALSE(owned) << rd_kafka_error_string(failed);
  };
  is_done(rd_kafka_init_transactions(client->get(), 10'000));
  for (size_t part = 0; part < 3; ++part) {
    for (const bool commits : {false, true}) {
      is_done(rd_kafka_begin_transaction(client->get()));
      for (size_t i = part * 10; i < part * 10 + 10; ++i)
        rd_kafka_producev(
            client->get(), RD_KAFKA_V_TOPIC("copies"),
            RD_KAFKA_V_KEY(records[i].key.data(), records[i].key.size()),
            RD_KAFKA_V_VALUE(const_cast<char*>(records[i].value.data()), records[i].value.size()),
            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
      EXPECT_EQ(rd_kafka_flush(client->get(), 10'000), 0);
      is_done(commits ? rd_kafka_commit_transaction(client->get(), 10'000)
                      : rd_kafka_abort_transaction(client->get(), 10'000));
    }
  }
  Reading reading(server, "copies");
  EXPECT_TRUE(reading.reaches(30)) << reading.out.count();
  EXPECT_FALSE(reading.out.has_repeats());
  EXPECT_EQ(reading.gaps(), 3u);
}

TEST(KafkaBroker, RecordsOfALogThatWasCutAreReadThoughTheirOffsetsWereReadBefore) {
  auto server = broker();
  server.control("topic", {{"topic", "frames"}, {"partitions", 1}});
  auto made = sink(server, {{"video-topic", "frames"}});
  ASSERT_TRUE((*made)->start());
  for (int i = 0; i < 2; ++i) EXPECT_EQ(stored(**made, frames(10)), 10u);
  Reading reading(server, "frames");
  ASSERT_TRUE(reading.reaches(20));
  const auto asked = [&] { return server.control("requests").value("ListOffsets", 0); };
  const int before = asked();
  server.control("truncate", {{"topic", "frames"}, {"offset", 10}});
  // Its offset is out of range now, and it asks where the log begins.
  ASSERT_TRUE(test::eventually([&] { return asked() > before; }));
  EXPECT_EQ(stored(**made, frames(15)), 15u);
  // What is left of it may come a second time: by its end alone it cannot be told from one that was made
  // anew.
  EXPECT_TRUE(test::eventually([&] { return reading.out.distinct() == 35; }, 30s)) << reading.out.distinct();
  EXPECT_LE(reading.out.count(), 45u);
}

// As a mirror writes them that keeps the times of records.
void produce_at(const std::string& address, std::span<const Read> records, int64_t time_ms) {
  KafkaParams params;
  params.brokers = {address};
  KafkaJournal journal("mirror");
  auto conf = kafka_conf(params, "", "mirror", journal);
  ASSERT_TRUE(conf);
  const auto client = kafka_client(RD_KAFKA_PRODUCER, *std::move(conf), "mirror");
  ASSERT_TRUE(client);
  for (const Read& one : records)
    rd_kafka_producev(
        client->get(), RD_KAFKA_V_TOPIC("copies"), RD_KAFKA_V_KEY(one.key.data(), one.key.size()),
        RD_KAFKA_V_VALUE(const_cast<char*>(one.value.data()), one.value.size()),
        RD_KAFKA_V_TIMESTAMP(time_ms), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
  EXPECT_EQ(rd_kafka_flush(client->get(), 20'000), RD_KAFKA_RESP_ERR_NO_ERROR);
}

TEST(KafkaBroker, RecordsOfATopicThatWasMadeAnewAreReadHoweverOldTheyAre) {
  auto server = broker();
  for (const char* topic : {"frames", "copies"})
    server.control("topic", {{"topic", topic}, {"partitions", 1}});
  auto made = sink(server, {{"video-topic", "frames"}});
  ASSERT_TRUE((*made)->start());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(stored(**made, frames(10)), 10u);
  const std::vector<Read> records = read_topic(server.address(), "frames", 30);
  ASSERT_EQ(records.size(), 30u);
  produce_at(server.address(), records, 1'900'000'000'000);
  Reading reading(server, "copies");
  ASSERT_TRUE(reading.reaches(30)) << reading.out.count();
  server.control("delete_topic", {{"topic", "copies"}});
  server.control("topic", {{"topic", "copies"}, {"partitions", 1}});
  produce_at(server.address(), std::span(records).first(20), 1'899'999'999'000);
  EXPECT_TRUE(reading.reaches(50)) << reading.out.count();
}

}  // namespace
}  // namespace sightglass::adapters
