// The source in modules that share the work of a group.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <set>
#include <thread>

#include "sightglass/adapters/kafka/kafka_test_support.h"
#include "sightglass/module/runner_test_support.h"
#include "tests/long_form.h"

namespace sightglass::adapters {
namespace {

using namespace testing;
using test::eventually;

module::ModuleSpec module_spec(const std::string& topic, const std::string& group,
                               const std::vector<std::string>& options = {"session.timeout.ms=6000",
                                                                          "heartbeat.interval.ms=500"}) {
  module::ModuleSpec spec = module::testing::quick_spec();
  module::SourceSpec from{.type = "kafka", .properties = module::Value::map()};
  from.properties.set("brokers", cluster().brokers());
  from.properties.set("topics", topic);
  from.properties.set("group", group);
  from.properties.set("commit_interval", 0.3);
  module::Value list;
  for (const std::string& option : options) list.add(option);
  from.properties.set("options", list);
  spec.pipeline.sources.push_back(std::move(from));
  return spec;
}

// A module at work; every record is told to `note`, from the first on.
class RunningModule {
 public:
  RunningModule(const module::ModuleSpec& spec, module::testing::FakeWorld& world,
                std::function<void(const RecordRef&)> note) {
    auto made = module::create_module(spec, module::testing::fake_hooks(world));
    EXPECT_TRUE(made) << made.error().message;
    module_ = std::move(*made);
    results_ = module_->subscribe(std::move(note));
    const Status started = module_->start();
    EXPECT_TRUE(started) << started.error().message;
  }
  int shut_down() { return module_->shutdown({}).exit_code; }

 private:
  std::unique_ptr<module::Module> module_;
  std::unique_ptr<module::Subscription> results_;
};

TEST(F21, HeldProcessingKeepsTheMemberInItsGroup) {
  const std::string topic = cluster().topic(2), group = new_group();
  TopicWriter writer(topic);
  FrameMaker slow("slow"), quick("quick");
  for (int i = 0; i < 500; ++i) writer.write(slow.frame(), "hold");
  for (int i = 0; i < 100; ++i) writer.write(quick.frame(), "ok");
  writer.flush();
  module::testing::FakeWorld world;
  std::mutex mutex;
  std::multiset<stream::Uuid> stored;
  module::ModuleSpec spec = module_spec(
      topic, group, {"max.poll.interval.ms=10000", "session.timeout.ms=6000", "heartbeat.interval.ms=500"});
  spec.streams.start_timeout = 3600 * 1000 * module::testing::ms;
  RunningModule module(spec, world, [&](const RecordRef& record) {
    const std::scoped_lock lock(mutex);
    if (record->kind == RecordKind::frame) stored.insert(record->uuid);
  });
  ASSERT_TRUE(eventually([&] { return world.waiting() > 0; }));
  if (!cluster().real()) (void)cluster().mock().control("requests");
  std::this_thread::sleep_for(test::long_or(600s, 20s));
  // Nobody has joined anew: 11 is JoinGroup.
  if (!cluster().real()) {
    EXPECT_FALSE(cluster().mock().control("requests").contains("11"));
  }
  world.let_go();
  EXPECT_TRUE(eventually([&] {
    const std::scoped_lock lock(mutex);
    return stored.size() >= 600;
  }));
  EXPECT_EQ(stored.size(), 600u);
  EXPECT_EQ(std::set(stored.begin(), stored.end()).size(), 600u) << "some came twice";
  EXPECT_TRUE(eventually([&] {
    int64_t processed = 0;
    for (int partition = 0; partition < 2; ++partition)
      processed += std::max<int64_t>(committed(topic, group, partition).note.processed, 0);
    return processed == 600;
  }));
  EXPECT_EQ(module.shut_down(), 0);
}

TEST(L25, WhatIsNotFinishedInTimeIsLeftToTheNextOwner) {
  const std::string topic = cluster().topic(6), group = new_group();
  module::testing::FakeWorld world, other_world;
  other_world.holds_back = false;
  TopicWriter writer(topic);
  std::set<stream::Uuid> written;
  for (int i = 0; i < 12; ++i) {
    FrameMaker maker(std::format("cam-{}", i));
    for (int frame = 0; frame < 5; ++frame) {
      const auto message = maker.frame();
      written.insert(message->frame->uuid);
      writer.write(message, "hold");
    }
  }
  writer.flush();
  std::mutex mutex;
  std::set<stream::Uuid> stored, stored_by_other;
  std::atomic<int> ends = 0;
  const auto into = [&](std::set<stream::Uuid>& uuids) {
    return [&](const RecordRef& record) {
      const std::scoped_lock lock(mutex);
      if (record->kind == RecordKind::frame) uuids.insert(record->uuid);
      ends += record->kind == RecordKind::end_of_stream;
    };
  };
  module::ModuleSpec spec = module_spec(topic, group);
  spec.streams.start_timeout = 3600 * 1000 * module::testing::ms;
  spec.streams.revoke_timeout = 300 * module::testing::ms;
  RunningModule first(spec, world, into(stored));
  ASSERT_TRUE(eventually([&] { return world.waiting() > 0; }));
  RunningModule second(spec, other_world, into(stored_by_other));
  // The first one holds on to its frames; those of the partitions that it has given up come from the second.
  EXPECT_TRUE(eventually([&] {
    const std::scoped_lock lock(mutex);
    return !stored_by_other.empty();
  }));
  world.let_go();
  EXPECT_TRUE(eventually([&] {
    const std::scoped_lock lock(mutex);
    std::set<stream::Uuid> all = stored;
    all.insert(stored_by_other.begin(), stored_by_other.end());
    return all == written;
  }));
  EXPECT_EQ(ends, 0);
  EXPECT_EQ(second.shut_down(), 0);
  EXPECT_EQ(first.shut_down(), 0);
}

TEST(F21, ForcedRebalancesLoseNoResultAndRepeatOnlyWithKnownUuids) {
  const std::string topic = cluster().topic(6), group = new_group();
  module::testing::FakeWorld world, other_world;
  world.holds_back = other_world.holds_back = false;
  TopicWriter writer(topic);
  std::vector<FrameMaker> makers;
  makers.reserve(12);
  for (int i = 0; i < 12; ++i) makers.emplace_back(std::format("cam-{}", i));
  std::set<stream::Uuid> written;
  const auto write = [&](int frames) {
    for (int i = 0; i < frames; ++i)
      for (auto& maker : makers) {
        const auto message = maker.frame();
        written.insert(message->frame->uuid);
        writer.write(message, "hold");
      }
    writer.flush();
  };
  std::map<std::string, std::vector<RecordRef>> results;
  std::multiset<stream::Uuid> stored;
  std::atomic<int> ends = 0;
  std::mutex mutex;
  const auto note = [&](const RecordRef& record) {
    const std::scoped_lock lock(mutex);
    if (record->kind == RecordKind::frame)
      stored.insert(record->uuid), results[record->source_id].push_back(record);
    ends += record->kind == RecordKind::end_of_stream;
  };
  RunningModule first(module_spec(topic, group), world, note);
  write(10);
  for (int round = 0; round < 3; ++round) {
    world.holds_back = true;  // some are under way when the group changes
    write(10);
    ASSERT_TRUE(eventually([&] { return world.waiting() > 0; }));
    const size_t before = world.waiting();
    RunningModule second(module_spec(topic, group), other_world, note);
    // Half of the streams are asked to go, and wait for their frames.
    std::this_thread::sleep_for(500ms);
    EXPECT_GT(before, 0u);
    world.let_go();
    write(10);
    EXPECT_TRUE(eventually([&] {
      const std::scoped_lock lock(mutex);
      return std::set(stored.begin(), stored.end()) == written;
    }));
    EXPECT_EQ(ends, 0) << "L-25: no end for the sinks";
    EXPECT_EQ(second.shut_down(), 0);
    ends = 0;  // of the one that was shut down
  }
  write(5);
  EXPECT_TRUE(eventually([&] {
    const std::scoped_lock lock(mutex);
    return std::set(stored.begin(), stored.end()) == written;
  }));
  // A repeat is the same frame; of each source the first results are in order.
  for (const auto& [source, records] : results) {
    std::set<stream::Uuid> seen;
    int64_t last = -1;
    for (const auto& record : records) {
      if (!seen.insert(record->uuid).second) continue;
      EXPECT_GT(record->message->seq, last) << source;
      last = record->message->seq;
    }
  }
  EXPECT_EQ(first.shut_down(), 0);
}

}  // namespace
}  // namespace sightglass::adapters
