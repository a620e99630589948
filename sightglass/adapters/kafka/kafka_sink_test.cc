#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>
#include <nlohmann/json.hpp>

#include "sightglass/adapters/kafka/kafka_test_support.h"

namespace sightglass::adapters {
namespace {

using namespace testing;
using ::testing::HasSubstr;
using ::testing::Not;

Result<std::unique_ptr<Sink>> sink(Settings settings, const std::string& brokers = cluster().brokers()) {
  settings.insert(settings.begin(), {"brokers", brokers});
  return make(*find_sink("kafka"), settings, "events");
}

std::string output_of(const std::string& command) {
  std::FILE* const pipe = popen(command.c_str(), "r");
  std::string text;
  char part[4096];
  while (const size_t count = pipe ? fread(part, 1, sizeof part, pipe) : 0) text.append(part, count);
  EXPECT_TRUE(pipe && pclose(pipe) == 0) << command;
  return text;
}

// Writes as a sink's runner does: what is to be retried comes again, in order.
void store_all(Sink& sink, std::vector<RecordRef> records, size_t batch = 100) {
  const auto end = std::chrono::steady_clock::now() + 120s;
  for (size_t first = 0; first < records.size(); first += batch) {
    std::vector<RecordRef> left(records.begin() + ptrdiff_t(first),
                                records.begin() + ptrdiff_t(std::min(first + batch, records.size())));
    while (!left.empty()) {
      ASSERT_LT(std::chrono::steady_clock::now(), end);
      std::vector<Stored> outcome(left.size(), Stored::yes);
      const Status written = sink.write(left, outcome);
      std::vector<RecordRef> again;
      for (size_t i = 0; i < left.size(); ++i)
        if (!written || outcome[i] == Stored::retry) again.push_back(left[i]);
      left = std::move(again);
    }
  }
}

std::vector<RecordRef> frames(std::vector<FrameMaker>& makers, size_t count) {
  std::vector<RecordRef> records;
  for (size_t i = 0; i < count; ++i) records.push_back(record(makers[i % makers.size()].frame(), "picture"));
  return records;
}

// Each once, and those of a source in the order in which they were written.
void expect_exactly(const std::vector<Read>& read, const std::vector<RecordRef>& written) {
  std::map<std::string, std::vector<std::string>> wanted, found;
  for (const auto& record : written) wanted[record->source_id].push_back(stream::to_string(record->uuid));
  for (const Read& one : read) found[one.key].push_back(one.uuid);
  EXPECT_EQ(found, wanted);
}

TEST(KafkaSink, WritesRecordsThatKcatReads) {
  const std::string topic = cluster().topic(4);
  auto made = sink({{"topic", topic}, {"format", "json"}});
  ASSERT_TRUE(made) << made.error().message;
  ASSERT_TRUE((*made)->start());
  std::vector<FrameMaker> makers{FrameMaker("cam-1"), FrameMaker("cam-2"), FrameMaker("gate:3")};
  const auto records = frames(makers, 60);
  store_all(**made, records);
  (*made)->stop();
  std::vector<Read> read;
  std::istringstream lines(output_of(
      std::format("kcat -C -e -q -b {} -t {} -f '%k|%h|%s\\n' 2>/dev/null", cluster().brokers(), topic)));
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find('|'), second = line.find('|', first + 1);
    const auto json = nlohmann::json::parse(line.substr(second + 1));
    EXPECT_EQ(json.at("source_id"), line.substr(0, first));
    EXPECT_EQ("uuid=" + json.at("uuid").get<std::string>(), line.substr(first + 1, second - first - 1));
    read.push_back({.key = line.substr(0, first), .uuid = json.at("uuid")});
  }
  expect_exactly(read, records);
}

TEST(KafkaSink, AllClientsFindASourceInTheSamePartition) {
  const std::string topic = cluster().topic(7);
  auto made = sink({{"topic", topic}, {"format", "json"}, {"compression", "gzip"}});
  ASSERT_TRUE((*made)->start());
  std::vector<FrameMaker> makers;
  for (int i = 0; i < 30; ++i) makers.emplace_back(std::format("cam-{}", i));
  const auto records = frames(makers, 60);
  store_all(**made, records);
  // python3-kafka is written by others, its partitioner too.
  const std::string answer = output_of(std::format(
      "python3 -c \"\n"
      "import json, kafka\n"
      "from kafka.partitioner.default import murmur2\n"
      "reader = kafka.KafkaConsumer('{}', bootstrap_servers='{}'.split(','), auto_offset_reset='earliest',"
      " consumer_timeout_ms=8000, enable_auto_commit=False)\n"
      "seen = 0\n"
      "for m in reader:\n"
      "  record = json.loads(m.value)\n"
      "  assert m.key.decode() == record['source_id']\n"
      "  assert dict(m.headers)['uuid'].decode() == record['uuid'], m.headers\n"
      "  assert (murmur2(m.key) & 0x7fffffff) % 7 == m.partition, (m.key, m.partition)\n"
      "  seen += 1\n"
      "  if seen == 60: break\n"
      "print(seen)\n\"",
      topic, cluster().brokers()));
  EXPECT_EQ(answer, "60\n");
}

TEST(KafkaSink, VideoGoesIntoATopicOfItsOwnWithThePictureInside) {
  const std::string topic = cluster().topic(2), video = cluster().topic(3);
  auto made = sink({{"topic", topic}, {"video-topic", video}});
  ASSERT_TRUE((*made)->start());
  FrameMaker maker("cam");
  const std::vector records{record(maker.frame(), "key"), record(maker.frame(), "delta"),
                            record(maker.frame()), record(maker.end())};
  store_all(**made, records);
  const auto notes = read_topic(cluster().brokers(), topic, 4);
  expect_exactly(notes, records);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(notes.at(0).message().frame->content));
  EXPECT_TRUE(notes.at(3).message().end_of_stream);
  const auto pictures = read_topic(cluster().brokers(), video, 3);
  expect_exactly(pictures, {records[0], records[1], records[3]});
  const auto content = std::get<stream::Inline>(pictures.at(1).message().frame->content);
  EXPECT_EQ(std::string(content.data.begin(), content.data.end()), "delta");
  EXPECT_EQ(stream::to_string(pictures.at(1).message().frame->uuid), pictures.at(1).uuid);
}

TEST(KafkaSink, MissingTopicIsAnErrorThatSaysHowToMakeIt) {
  auto made = sink({{"topic", "nobody-has-made-this"}});
  const Status started = (*made)->start();
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, HasSubstr("there is no topic 'nobody-has-made-this'"));
  EXPECT_THAT(started.error().message, HasSubstr("partitions"));
}

TEST(KafkaSink, OtherNumberOfPartitionsIsAConflictThatNamesBoth) {
  const std::string topic = cluster().topic(3);
  auto made = sink({{"topic", topic}, {"partitions", "12"}});
  const Status started = (*made)->start();
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, HasSubstr("has 3 partitions"));
  EXPECT_THAT(started.error().message, HasSubstr("says 12"));
  EXPECT_TRUE((*sink({{"topic", topic}, {"partitions", "3"}}))->start());
}

TEST(KafkaSink, PictureOverTheLimitIsRefusedOrNamedByItsFile) {
  const std::string video = cluster().topic(1);
  FrameMaker maker("cam");
  const std::string large(40'000, 'x');
  const std::vector records{record(maker.frame(), large), record(maker.frame(), "small")};
  std::vector<Stored> outcome(2, Stored::yes);
  auto refusing = sink({{"video-topic", video}, {"max-message", "20000"}});
  ASSERT_TRUE((*refusing)->start());
  ASSERT_TRUE((*refusing)->write(records, outcome));
  EXPECT_THAT(outcome, ::testing::ElementsAre(Stored::never, Stored::yes));

  const test::TemporaryFolder folder;
  auto naming = sink({{"video-topic", video}, {"max-message", "20000"}, {"large-folder", folder.path()}});
  ASSERT_TRUE((*naming)->start());
  ASSERT_TRUE((*naming)->write({records.data(), 1}, {outcome.data(), 1}));
  EXPECT_EQ(outcome[0], Stored::yes);
  const auto read = read_topic(cluster().brokers(), video, 2);
  ASSERT_EQ(read.size(), 2u);
  const auto location = std::get<stream::Location>(read[1].message().frame->content);
  std::ifstream file(location.uri.substr(7));
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), large);
  EXPECT_EQ(location.size, int64_t(large.size()));
}

TEST(KafkaSink, RecordOverTheLimitOfTheBrokersIsRefusedAlone) {
  if (cluster().real()) GTEST_SKIP() << "fault: only on the mock";
  Cluster small(1);
  const std::string topic = small.topic(1);
  auto made = sink({{"topic", topic}, {"format", "json"}, {"linger", "0"}}, small.brokers());
  ASSERT_TRUE((*made)->start());
  small.mock().control("errors", {{"api", 0}, {"errors", {10}}});  // Produce: MESSAGE_TOO_LARGE
  FrameMaker maker("cam");
  std::vector<Stored> outcome(1, Stored::yes);
  const std::vector first{record(maker.frame())}, second{record(maker.frame())};
  ASSERT_TRUE((*made)->write(first, outcome));
  EXPECT_EQ(outcome[0], Stored::never);
  store_all(**made, second);
  EXPECT_EQ(read_topic(small.brokers(), topic, 1).size(), 1u);
}

TEST(KafkaSink, WaitsForBrokersThatAreAwayAndSendsNothingTwice) {
  if (cluster().real()) GTEST_SKIP() << "fault: only on the mock";
  Cluster away(1);
  const std::string topic = away.topic(2);
  auto made = sink({{"topic", topic}, {"format", "json"}, {"send-timeout", "0.3"}}, away.brokers());
  ASSERT_TRUE((*made)->start());
  std::vector<FrameMaker> makers{FrameMaker("a"), FrameMaker("b")};
  const auto records = frames(makers, 20);
  away.mock().control("broker", {{"broker", 1}, {"up", false}});
  std::vector<Stored> outcome(records.size(), Stored::yes);
  for (int i = 0; i < 3; ++i) {
    const Status written = (*made)->write(records, outcome);
    ASSERT_FALSE(written);
    EXPECT_THAT(written.error().message, HasSubstr("no acknowledgement"));
  }
  away.mock().control("broker", {{"broker", 1}, {"up", true}});
  store_all(**made, records);
  expect_exactly(read_topic(away.brokers(), topic, records.size()), records);
}

TEST(KafkaSink, StartsWithoutBrokersAndStopsInTime) {
  auto made = sink({{"topic", "t"}, {"send-timeout", "0.2"}}, std::format("127.0.0.1:{}", test::free_port()));
  ASSERT_TRUE((*made)->start());
  FrameMaker maker("cam");
  const std::vector records{record(maker.frame())};
  std::vector<Stored> outcome(1, Stored::yes);
  const Status written = (*made)->write(records, outcome);
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, HasSubstr("no broker answers"));
  (*made)->cancel();
  (*made)->stop();
}

// Brokers that stop, hang, lose leaders and answer with errors, while records flow.
TEST(KafkaSink, F20LosesAndInventsNothingWhateverTheBrokersDo) {
  if (cluster().real()) GTEST_SKIP() << "fault: only on the mock";
  Cluster shaky;
  const std::string topic = shaky.topic(4);
  const size_t count = 10'000;
  auto made = sink({{"topic", topic}, {"format", "json"}, {"send-timeout", "0.5"}}, shaky.brokers());
  ASSERT_TRUE((*made)->start());
  std::vector<FrameMaker> makers;
  for (int i = 0; i < 8; ++i) makers.emplace_back(std::format("cam-{}", i));
  const auto records = frames(makers, count);
  std::atomic<size_t> stored = 0;
  std::thread faults([&] {
    const auto at = [&](size_t part) { return [&, part] { return stored >= count * part / 10; }; };
    auto& mock = shaky.mock();
    (void)test::eventually(at(1));
    mock.control("broker", {{"broker", 1}, {"up", false}});
    for (int partition = 0; partition < 4; ++partition)
      mock.control("leader", {{"topic", topic}, {"partition", partition}, {"broker", 2 + partition % 2}});
    (void)test::eventually(at(3));
    mock.control("broker", {{"broker", 1}, {"up", true}});
    mock.pause();
    std::this_thread::sleep_for(1200ms);  // longer than the sink waits
    mock.go_on();
    (void)test::eventually(at(5));
    // NOT_LEADER_FOR_PARTITION, REQUEST_TIMED_OUT, NOT_ENOUGH_REPLICAS, connection lost
    mock.control("errors", {{"api", 0}, {"errors", {6, 7, 19, -195, 6, 7}}});
    (void)test::eventually(at(7));
    for (int broker = 1; broker <= 3; ++broker) mock.control("broker", {{"broker", broker}, {"up", false}});
    std::this_thread::sleep_for(700ms);
    for (int broker = 1; broker <= 3; ++broker) mock.control("broker", {{"broker", broker}, {"up", true}});
  });
  for (size_t first = 0; first < count; first += 50) {
    store_all(**made, {records.begin() + ptrdiff_t(first), records.begin() + ptrdiff_t(first + 50)}, 50);
    stored = first + 50;
  }
  faults.join();
  expect_exactly(read_topic(shaky.brokers(), topic, count), records);
}

TEST(KafkaSink, BadOptionsAreNamedWithTheirValue) {
  const test::TemporaryFolder folder;
  std::ofstream(folder.path() / "secret") << "marker-9f2c\n";
  const std::string secret = folder.path() / "secret";
  const std::vector<std::pair<Settings, std::string>> cases{
      {{}, "topic is missing"},
      {{{"topic", "a"}, {"video-topic", "a"}}, "both 'a'"},
      {{{"topic", "a"}, {"sasl", "plain"}}, "needs user and password-file"},
      {{{"topic", "a"}, {"user", "me"}}, "are of sasl"},
      {{{"topic", "a"}, {"sasl", "plain"}, {"user", "me"}, {"password-file", "/nowhere"}},
       "/nowhere cannot be read"},
      {{{"topic", "a"}, {"security", "plaintext"}, {"tls-ca", "ca.pem"}}, "plaintext"},
      {{{"topic", "a"}, {"tls-cert", "c.pem"}}, "belong together"},
      {{{"topic", "a"}, {"tls-server-name", "x"}}, "name of the broker"},
      {{{"topic", "a"}, {"options", "no.such.thing=1"}}, "no.such.thing"},
      {{{"topic", "a"}, {"options", "linger.ms"}}, "is not NAME=VALUE"},
      {{{"topic", "a"}, {"options", "sasl.password=marker-9f2c"}}, "sasl.password is set by other keys"},
      {{{"topic", "a"}, {"options", "acks=0"}}, "acks is set by other keys"},
      {{{"topic", "a"}, {"brokers", "kafka://me:marker-9f2c@host:9092"}}, "HOST:PORT"}};
  for (const auto& [settings, reason] : cases) {
    Settings all = settings;
    const bool has_brokers =
        std::ranges::contains(settings, std::string("brokers"), &Settings::value_type::first);
    if (!has_brokers) all.insert(all.begin(), {"brokers", "127.0.0.1:1"});
    const auto made = make(*find_sink("kafka"), all, "events");
    ASSERT_FALSE(made) << reason;
    EXPECT_THAT(made.error().message, HasSubstr(reason));
    EXPECT_THAT(made.error().message, Not(HasSubstr("marker-9f2c")));
    EXPECT_THAT(made.error().message, Not(HasSubstr("\n")));
  }
  ParamSet params(find_sink("kafka")->params);
  const Status wrong = params.set_text("sasl", "gssapi");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message, HasSubstr("scram-sha-512"));
}

}  // namespace
}  // namespace sightglass::adapters
