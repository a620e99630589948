// The source as one of a group: what it commits, what it repeats, and that it stays a member.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <mutex>
#include <set>
#include <thread>

#include "sightglass/adapters/kafka/kafka_test_support.h"

namespace sightglass::adapters {
namespace {

using namespace testing;
using test::eventually;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Result<std::unique_ptr<Source>> source(const std::string& topic, const std::string& group,
                                       Settings settings = {}) {
  // The mock keeps who joins behind somebody that has left waiting for a session.
  settings.insert(settings.begin(), {{"brokers", cluster().brokers()},
                                     {"topics", topic},
                                     {"group", group},
                                     {"commit-interval", "0.02"},
                                     {"options", "session.timeout.ms=6000,heartbeat.interval.ms=500"}});
  return make(*find_source("kafka"), settings, "source");
}

// Takes what the source delivers, and settles when it is told to.
class Taker final : public Deliver {
 public:
  bool deliver(stream::Delivery delivery) override { return offer(delivery) == Offer::taken; }
  std::unique_ptr<Deliver> another() override { return nullptr; }
  Offer offer(stream::Delivery& delivery) override {
    if (const auto time = sleeps.exchange(0)) std::this_thread::sleep_for(std::chrono::milliseconds(time));
    const std::scoped_lock lock(mutex);
    if (full.contains(delivery.message->source_id)) {
      ++refusals;
      return Offer::full;
    }
    if (settles && delivery.settlement) delivery.settlement->processed();
    taken.push_back(std::move(delivery));
    return Offer::taken;
  }
  void release(std::span<const std::string> ids, bool at_once) override {
    const std::scoped_lock lock(mutex);
    for (const auto& id : ids) released.emplace_back(id, at_once);
  }
  size_t count(std::string_view source = {}) {
    const std::scoped_lock lock(mutex);
    return size_t(std::ranges::count_if(
        taken, [&](const auto& one) { return source.empty() || one.message->source_id == source; }));
  }
  // "K.r" …: keyframe, other frame, a replay in small letters; E: end of stream
  std::string story() {
    const std::scoped_lock lock(mutex);
    std::string text;
    for (const auto& one : taken) {
      const auto& frame = one.message->frame;
      text += !frame ? 'E' : frame->replay ? (frame->keyframe ? 'k' : ',') : frame->keyframe ? 'K' : '.';
    }
    return text;
  }
  void settle(size_t index) {
    const std::scoped_lock lock(mutex);
    taken.at(index).settlement->processed();
  }

  std::mutex mutex;
  std::vector<stream::Delivery> taken;
  std::vector<std::pair<std::string, bool>> released;
  std::set<std::string> full;
  std::atomic<int> refusals{0}, sleeps{0};
  std::atomic<bool> settles{true};
};

// A source at work.
class Running {
 public:
  Running(Result<std::unique_ptr<Source>> made, Deliver& out) {
    EXPECT_TRUE(made) << made.error().message;
    source_ = std::move(*made);
    const Status started = source_->start();
    EXPECT_TRUE(started) << started.error().message;
    thread_ = std::jthread([this, &out](std::stop_token stop) {
      result_ = source_->run(out, stop);
      has_ended_ = true;
    });
  }
  Source& source() { return *source_; }
  bool has_ended() const { return has_ended_; }
  Status stop() {
    thread_.request_stop();
    thread_.join();
    return result_;
  }

 private:
  std::unique_ptr<Source> source_;
  Status result_;
  std::atomic<bool> has_ended_{false};
  std::jthread thread_;
};

TEST(KafkaSource, CommitsOnlyWhatIsProcessedAtTheKeyframeOfTheOldestOpenGroup) {
  const std::string topic = cluster().topic(1), group = new_group();
  TopicWriter writer(topic);
  FrameMaker maker("cam", 4);
  for (int i = 0; i < 12; ++i) writer.write(maker.frame());
  writer.flush();
  Taker taker;
  taker.settles = false;
  {
    Running running(source(topic, group), taker);
    ASSERT_TRUE(eventually([&] { return taker.count() == 12; }));
    EXPECT_EQ(taker.story(), "K...K...K...");
    for (const size_t i : {0, 1, 2, 3, 4, 7, 8}) taker.settle(i);
    EXPECT_TRUE(eventually([&] { return committed(topic, group).offset == 4; }));
    EXPECT_EQ(committed(topic, group).note.processed, 5);
    EXPECT_EQ(committed(topic, group).note.partitions, 1);
    EXPECT_TRUE(running.stop());
  }
  // The next owner: what is known to be done rebuilds the decoder, the rest is done (again).
  Taker next;
  Running running(source(topic, group), next);
  ASSERT_TRUE(eventually([&] { return next.count() == 8; }));
  EXPECT_EQ(next.story(), "k...K...");
  EXPECT_TRUE(eventually([&] { return committed(topic, group).note.processed == 12; }));
  EXPECT_EQ(committed(topic, group).offset, 8);  // the last group may go on
  EXPECT_TRUE(running.stop());
}

TEST(KafkaSource, OfWhatIsDoneOnlyTheOpenGroupIsReadAgain) {
  const std::string topic = cluster().topic(1), group = new_group();
  TopicWriter writer(topic);
  FrameMaker held("held", 100), ended("ended", 2), open("open", 3);
  writer.write(held.frame());
  for (int i = 0; i < 4; ++i) writer.write(ended.frame());
  writer.write(ended.end());
  for (int i = 0; i < 5; ++i) writer.write(open.frame());
  writer.write(held.frame());
  writer.flush();
  Taker taker;
  taker.settles = false;
  {
    Running running(source(topic, group), taker);
    ASSERT_TRUE(eventually([&] { return taker.count() == 12; }));
    for (const auto& one : taker.taken)
      if (one.message->source_id != "held" || one.message->seq == 0) one.settlement->processed();
    EXPECT_TRUE(eventually([&] { return committed(topic, group).note.processed == 11; }));
    EXPECT_EQ(committed(topic, group).offset, 0);
    EXPECT_TRUE(running.stop());
  }
  writer.write(open.frame());
  writer.flush();
  Taker next;
  Running running(source(topic, group), next);
  ASSERT_TRUE(eventually([&] { return next.count("open") == 3 && next.count("held") == 2; }));
  EXPECT_EQ(next.count("ended"), 0u);
  EXPECT_EQ(std::ranges::count(next.story(), 'E'), 0);
  EXPECT_EQ(std::ranges::count(next.story(), '.'), 2);  // of each one that is new
  EXPECT_TRUE(running.stop());
}

TEST(KafkaSource, FullStreamHoldsUpNoOtherOneAndNothingIsLost) {
  const std::string topic = cluster().topic(1), group = new_group();
  TopicWriter writer(topic);
  FrameMaker slow("slow"), quick("quick");
  for (int i = 0; i < 100; ++i) {
    writer.write(slow.frame());
    writer.write(quick.frame());
  }
  writer.flush();
  Taker taker;
  taker.full = {"slow"};
  Running running(source(topic, group), taker);
  EXPECT_TRUE(eventually([&] { return taker.count("quick") == 100; }));
  EXPECT_EQ(taker.count("slow"), 0u);
  // Far more than a partition may hold here: it is paused, and read on later.
  for (int i = 0; i < 400; ++i) writer.write(slow.frame());
  writer.write(quick.frame());
  writer.flush();
  const int before = taker.refusals;
  EXPECT_TRUE(eventually([&] { return taker.refusals > before + 50; }));
  {
    const std::scoped_lock lock(taker.mutex);
    taker.full.clear();
  }
  EXPECT_TRUE(eventually([&] { return taker.count("slow") == 500 && taker.count("quick") == 101; }));
  std::map<std::string, int64_t> last;
  for (const auto& one : taker.taken) {
    auto& seq = last.try_emplace(one.message->source_id, -1).first->second;
    EXPECT_EQ(one.message->seq, seq + 1);
    seq = one.message->seq;
  }
  EXPECT_TRUE(running.stop());
}

TEST(KafkaSource, WhatIsRefusedForNowComesAgainWhatIsRefusedForGoodIsCounted) {
  const std::string topic = cluster().topic(1), group = new_group();
  TopicWriter writer(topic);
  FrameMaker maker("cam");
  for (int i = 0; i < 3; ++i) writer.write(maker.frame());
  writer.flush();
  Taker taker;
  taker.settles = false;
  Running running(source(topic, group), taker);
  ASSERT_TRUE(eventually([&] { return taker.count() == 3; }));
  taker.taken[0].settlement->processed();
  taker.taken[1].settlement->refused("quarantined", true);
  taker.taken[2].settlement->refused("malformed", false);
  ASSERT_TRUE(eventually([&] { return taker.count() == 4; }));
  {
    const std::scoped_lock lock(taker.mutex);
    EXPECT_EQ(taker.taken[3].message->seq, 1);
    EXPECT_EQ(taker.taken[3].payloads.size(), 1u);
  }
  EXPECT_EQ(running.source().rejected().at("malformed"), 1u);
  taker.settle(3);
  EXPECT_TRUE(eventually([&] { return committed(topic, group).note.processed == 3; }));
  EXPECT_TRUE(running.stop());
}

TEST(KafkaSource, StrangeMessagesAreCountedAndPassedOver) {
  const std::string topic = cluster().topic(1), group = new_group();
  {
    KafkaJournal journal("other");
    auto conf = kafka_conf(cluster().params(), "", "other", journal);
    const auto client = kafka_client(RD_KAFKA_PRODUCER, std::move(*conf), "other");
    for (const char* value : {"", "{\"json\": 1}", "\xc3\x01 and so on, but no schema"})
      rd_kafka_producev(client->get(), RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_KEY("cam", 3),
                        RD_KAFKA_V_VALUE(const_cast<char*>(value), std::strlen(value)),
                        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    EXPECT_EQ(rd_kafka_flush(client->get(), 10'000), 0);
  }
  TopicWriter writer(topic);
  FrameMaker maker("cam");
  writer.write(maker.frame());
  writer.flush();
  Taker taker;
  Running running(source(topic, group), taker);
  ASSERT_TRUE(eventually([&] { return taker.count() == 1; }));
  uint64_t refused = 0;
  for (const auto& [reason, count] : running.source().rejected()) refused += count;
  EXPECT_EQ(refused, 3u);
  EXPECT_TRUE(eventually([&] { return committed(topic, group).note.processed == 4; }));
  EXPECT_TRUE(running.stop());
}

TEST(KafkaSource, PicturesInFilesAreReadFromAllowedFoldersOnly) {
  const std::string topic = cluster().topic(1);
  const test::TemporaryFolder folder, other;
  {
    TopicWriter writer(topic, {{"max-message", "20000"}, {"large-folder", folder.path()}});
    FrameMaker maker("cam");
    writer.write(maker.frame(), std::string(30'000, 'x'));
    writer.write(maker.frame());
    writer.flush();
  }
  Taker allowed, refused;
  {
    Running running(source(topic, new_group(), {{"large-folders", folder.path()}}), allowed);
    ASSERT_TRUE(eventually([&] { return allowed.count() == 2; }));
    EXPECT_EQ(allowed.taken[0].payloads.at(0).bytes.size(), 30'000u);
    EXPECT_TRUE(running.stop());
  }
  Running running(source(topic, new_group(), {{"large-folders", other.path()}}), refused);
  ASSERT_TRUE(eventually([&] { return refused.count() == 1; }));
  EXPECT_EQ(running.source().rejected().at("location"), 1u);
  EXPECT_TRUE(running.stop());
}

TEST(KafkaSource, OtherNumberOfPartitionsIsRefusedUnlessAllowed) {
  const std::string topic = cluster().topic(2), group = new_group();
  {
    KafkaJournal journal("earlier");
    auto conf = kafka_conf(cluster().params(), "", "earlier", journal);
    ASSERT_TRUE(set_option(conf->get(), "group.id", group));
    const auto client = kafka_client(RD_KAFKA_CONSUMER, std::move(*conf), "earlier");
    const KafkaOwned<rd_kafka_topic_partition_list_t> list(rd_kafka_topic_partition_list_new(1));
    auto* const one = rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), 1);
    const std::string note = to_string(CommitNote{.processed = 0, .partitions = 12});
    one->offset = 0;
    one->metadata = std::malloc(note.size());
    std::memcpy(one->metadata, note.data(), note.size());
    one->metadata_size = note.size();
    ASSERT_EQ(rd_kafka_commit(client->get(), list.get(), 0), 0);
  }
  auto made = source(topic, group);
  const Status started = (*made)->start();
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, HasSubstr("had 12 partitions and has 2 now"));
  EXPECT_THAT(started.error().message, HasSubstr("allow-repartition"));
  EXPECT_TRUE((*source(topic, group, {{"allow-repartition", "true"}}))->start());
}

TEST(KafkaSource, MissingTopicIsAnError) {
  auto made = source("nobody-has-made-this", new_group());
  const Status started = (*made)->start();
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, HasSubstr("there is no topic 'nobody-has-made-this'"));
}

TEST(KafkaSource, BadOptionsAreNamed) {
  const std::vector<std::pair<Settings, std::string>> cases{
      {{{"brokers", "b:1"}}, "topics is missing"},
      {{{"topics", "t"}}, "brokers is missing"},
      {{{"brokers", "b:1"}, {"topics", "t"}, {"group", ""}}, "group is empty"},
      {{{"brokers", "b:1"}, {"topics", "t"}, {"options", "group.id=x"}}, "group.id is set by other keys"},
      {{{"brokers", "b:1"}, {"topics", "t"}, {"options", "enable.auto.commit=true"}}, "enable.auto.commit"}};
  for (const auto& [settings, reason] : cases) {
    const auto made = make(*find_source("kafka"), settings, "source");
    ASSERT_FALSE(made) << reason;
    EXPECT_THAT(made.error().message, HasSubstr(reason));
  }
}

TEST(KafkaSource, StopsInTimeWithoutBrokers) {
  Settings settings{{"brokers", std::format("127.0.0.1:{}", test::free_port())}, {"topics", "t"}};
  Taker taker;
  Running running(make(*find_source("kafka"), settings, "source"), taker);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(running.stop());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 20s);
}

// Brokers that stop, hang and lose leaders, while frames flow.
TEST(KafkaSource, LosesNothingAndKeepsTheOrderWhateverTheBrokersDo) {
  if (cluster().real()) GTEST_SKIP() << "fault: only on the mock";
  Cluster shaky;
  const std::string topic = shaky.topic(4);
  const size_t count = 10'000;
  auto writing = make(*find_sink("kafka"), {{"brokers", shaky.brokers()}, {"video-topic", topic}}, "writer");
  ASSERT_TRUE((*writing)->start());
  std::vector<FrameMaker> makers;
  for (int i = 0; i < 8; ++i) makers.emplace_back(std::format("cam-{}", i));
  Taker taker;
  Running running(make(*find_source("kafka"),
                       {{"brokers", shaky.brokers()},
                        {"topics", topic},
                        {"group", new_group()},
                        {"commit-interval", "0.05"}},
                       "source"),
                  taker);
  size_t written = 0;
  const auto write = [&](size_t until) {
    std::vector<RecordRef> records;
    for (; written < until; ++written)
      records.push_back(record(makers[written % makers.size()].frame(), "ok"));
    while (!records.empty()) {
      std::vector<Stored> outcome(records.size(), Stored::yes);
      const Status done = (*writing)->write(records, outcome);
      std::vector<RecordRef> again;
      for (size_t i = 0; i < records.size(); ++i)
        if (!done || outcome[i] == Stored::retry) again.push_back(records[i]);
      records = std::move(again);
    }
  };
  auto& mock = shaky.mock();
  write(count / 5);
  ASSERT_TRUE(eventually([&] { return taker.count() > 0; }));
  for (int partition = 0; partition < 4; ++partition)
    mock.control("leader", {{"topic", topic}, {"partition", partition}, {"broker", 2 + partition % 2}});
  mock.control("broker", {{"broker", 1}, {"up", false}});
  write(count * 2 / 5);
  mock.control("broker", {{"broker", 1}, {"up", true}});
  mock.pause();
  std::this_thread::sleep_for(1s);
  mock.go_on();
  write(count * 3 / 5);
  mock.control("errors", {{"api", 1}, {"errors", {6, 7, -195, 6}}});  // Fetch
  write(count * 4 / 5);
  for (int broker = 1; broker <= 3; ++broker) mock.control("broker", {{"broker", broker}, {"up", false}});
  std::this_thread::sleep_for(500ms);
  for (int broker = 1; broker <= 3; ++broker) mock.control("broker", {{"broker", broker}, {"up", true}});
  write(count);
  std::map<std::string, std::set<int64_t>> seen;
  const bool has_all = eventually([&] {
    const std::scoped_lock lock(taker.mutex);
    seen.clear();
    size_t all = 0;
    for (const auto& one : taker.taken)
      if (!one.message->frame->replay) all += seen[one.message->source_id].insert(one.message->seq).second;
    return all == count;
  });
  EXPECT_TRUE(has_all);
  if (!has_all) {
    // Of whom it is: the source's, or the log lacks them too.
    std::map<std::string, std::set<int64_t>> stored;
    for (const Read& one : read_topic(shaky.brokers(), topic, count, 10s))
      stored[one.key].insert(one.message().seq);
    for (const auto& maker : makers) {
      size_t of_log = 0, of_source = 0;
      for (int64_t seq = 0; seq < int64_t(count / makers.size()); ++seq) {
        of_log += !stored[maker.source_id()].contains(seq);
        of_source += !seen[maker.source_id()].contains(seq);
      }
      EXPECT_EQ(of_source, 0u) << maker.source_id() << ": the log lacks " << of_log;
    }
  }
  // What comes for the first time is in order; repeats are possible, after a session was lost.
  std::map<std::string, int64_t> last;
  const std::scoped_lock lock(taker.mutex);
  for (const auto& one : taker.taken) {
    auto& seq = last.try_emplace(one.message->source_id, -1).first->second;
    EXPECT_LE(one.message->seq, seq + 1) << one.message->source_id;
    seq = std::max(seq, one.message->seq);
  }
}

TEST(KafkaSource, L25PartitionThatWasPausedAndComesBackGoesOn) {
  const std::string topic = cluster().topic(2), group = new_group();
  TopicWriter writer(topic);
  std::vector<FrameMaker> makers;
  for (int i = 0; i < 8; ++i) makers.emplace_back(std::format("cam-{}", i));
  for (int i = 0; i < 200; ++i)
    for (auto& maker : makers) writer.write(maker.frame());
  writer.flush();
  // Nobody takes anything, so what waits is too much before long and the partitions are paused.
  Taker first, second;
  for (int i = 0; i < 8; ++i) first.full.insert(std::format("cam-{}", i));
  second.full = first.full;
  Running one(source(topic, group), first);
  ASSERT_TRUE(eventually([&] { return first.refusals > 2000; }));
  Running two(source(topic, group), second);
  ASSERT_TRUE(eventually([&] { return second.refusals > 0; }));
  EXPECT_TRUE(two.stop());
  {
    const std::scoped_lock lock(first.mutex);
    first.full.clear();
  }
  ASSERT_TRUE(eventually([&] {
    std::set<stream::Uuid> seen;
    const std::scoped_lock lock(first.mutex);
    for (const auto& taken : first.taken) seen.insert(taken.message->frame->uuid);
    return seen.size() == 1600;
  })) << first.count();
  EXPECT_TRUE(one.stop());
}

TEST(KafkaSource, L25RevokedPartitionsAreFinishedAndCommittedBeforeTheyGo) {
  const std::string topic = cluster().topic(4), group = new_group();
  TopicWriter writer(topic);
  std::vector<FrameMaker> makers;
  for (int i = 0; i < 16; ++i) makers.emplace_back(std::format("cam-{}", i));
  for (int i = 0; i < 10; ++i)
    for (auto& maker : makers) writer.write(maker.frame());
  writer.flush();
  Taker first, second;
  first.settles = false;
  // No commit in the midst of a rebalance: librdkafka takes "illegal generation" for a lost assignment.
  Running one(source(topic, group, {{"revoke-timeout", "30"}, {"commit-interval", "3600"}}), first);
  ASSERT_TRUE(eventually([&] { return first.count() == 160; }));
  Running two(source(topic, group, {{"commit-interval", "3600"}}), second);
  // Asked to give partitions up, it waits for what it has taken.
  ASSERT_TRUE(eventually([&] {
    const std::scoped_lock lock(first.mutex);
    return !first.released.empty();
  }));
  EXPECT_EQ(second.count(), 0u);
  {
    const std::scoped_lock lock(first.mutex);
    for (const auto& [id, at_once] : first.released) EXPECT_FALSE(at_once);
    for (const auto& taken : first.taken)
      if (taken.settlement) taken.settlement->processed();
  }
  for (int i = 0; i < 10; ++i)
    for (auto& maker : makers) writer.write(maker.frame());
  writer.flush();
  first.settles = true;
  ASSERT_TRUE(eventually([&] {
    std::set<stream::Uuid> seen;
    for (Taker* taker : {&first, &second}) {
      const std::scoped_lock lock(taker->mutex);
      for (const auto& taken : taker->taken)
        if (!taken.message->frame->replay) seen.insert(taken.message->frame->uuid);
    }
    return seen.size() == 320;
  }));
  EXPECT_GT(second.count(), 0u);
  // Nothing twice, since all was committed. The mock turns a newcomer away that is quicker than the leader of
  // the group; while it joins again every commit is refused ("rebalance in progress"), and it repeats.
  int committed_partitions = 0;
  for (int partition = 0; partition < 4; ++partition)
    committed_partitions += committed(topic, group, partition).offset >= 0;
  const bool is_refused = !cluster().real() && committed_partitions == 0;
  EXPECT_TRUE(is_refused || committed_partitions == 2) << committed_partitions;
  std::map<stream::Uuid, int> times;
  for (Taker* taker : {&first, &second}) {
    const std::scoped_lock lock(taker->mutex);
    for (const auto& taken : taker->taken)
      if (!taken.message->frame->replay) ++times[taken.message->frame->uuid];
  }
  for (const auto& [uuid, count] : times) EXPECT_LE(count, is_refused ? 2 : 1);
  EXPECT_TRUE(two.stop());
  EXPECT_TRUE(one.stop());
}

TEST(KafkaSource, L25LostPartitionStopsAtOnceAndCommitsNothing) {
  const std::string topic = cluster().topic(1), group = new_group();
  TopicWriter writer(topic);
  FrameMaker maker("cam", 2);
  for (int i = 0; i < 6; ++i) writer.write(maker.frame());
  writer.flush();
  Taker taker;
  taker.settles = false;
  Running running(
      source(topic, group,
             {{"commit-interval", "3600"},
              {"options", "session.timeout.ms=2000,heartbeat.interval.ms=300,max.poll.interval.ms=2000"}}),
      taker);
  ASSERT_TRUE(eventually([&] { return taker.count() == 6; }));
  for (size_t i = 0; i < 6; ++i) taker.settle(i);
  taker.sleeps = 5000;  // of the thread that polls: something that must not be
  writer.write(maker.frame());
  writer.flush();
  ASSERT_TRUE(eventually([&] {
    const std::scoped_lock lock(taker.mutex);
    return !taker.released.empty();
  }));
  EXPECT_TRUE(taker.released[0].second);
  EXPECT_LT(committed(topic, group).offset, 0);
  // It becomes a member again, and begins where the group is.
  EXPECT_TRUE(eventually([&] { return taker.count() >= 13; }));
  EXPECT_TRUE(running.stop());
}

}  // namespace
}  // namespace sightglass::adapters
