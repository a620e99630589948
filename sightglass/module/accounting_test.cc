#include "sightglass/module/accounting.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <latch>
#include <random>
#include <thread>

#include "sightglass/adapters/test_records.h"
#include "sightglass/module/sink_runner.h"

namespace sightglass::module {
namespace {

constexpr int64_t second = 1'000'000'000;

class Counted final : public stream::Settlement {
 public:
  void processed() override { ++processes; }
  void refused(std::string_view code, bool retry) override { last = std::string(code) + (retry ? "!" : ""); }
  int processes = 0;
  std::string last;
};

uint64_t dropped(const SourceCounts& counts, std::string_view reason) {
  const auto found = std::ranges::find(counts.dropped, reason, &std::pair<std::string, uint64_t>::first);
  return found == counts.dropped.end() ? 0 : found->second;
}

TEST(Receipt, SettlesOnceAndTellsTheWriter) {
  auto account = std::make_shared<SourceAccount>("cam");
  auto writer = std::make_shared<Counted>();
  {
    Receipt receipt(account, writer, 5);
    EXPECT_EQ(account->counts(10).in_flight, 1u);
    EXPECT_EQ(account->counts(10).oldest_ns, 5);
    receipt.store();
    receipt.drop("sink");
    receipt.refuse("late", true);
  }
  const auto counts = account->counts(10);
  EXPECT_EQ(counts.received, 1u);
  EXPECT_EQ(counts.stored, 1u);
  EXPECT_EQ(counts.in_flight, 0u);
  EXPECT_TRUE(counts.dropped.empty());
  EXPECT_EQ(counts.oldest_ns, 0);
  EXPECT_EQ(writer->processes, 1);
  EXPECT_EQ(writer->last, "");
}

TEST(Receipt, CountsAFrameThatNobodyHasSettledAsAbandoned) {
  auto account = std::make_shared<SourceAccount>("cam");
  auto writer = std::make_shared<Counted>();
  {
    const Receipt receipt(account, writer, 5);
  }
  EXPECT_EQ(dropped(account->counts(10), "abandoned"), 1u);
  EXPECT_EQ(writer->last, "abandoned!");
}

TEST(SourceAccount, KnowsTheOldestFrameWhateverTheOrderOfSettling) {
  auto account = std::make_shared<SourceAccount>("cam");
  auto a = std::make_unique<Receipt>(account, nullptr, 1), b = std::make_unique<Receipt>(account, nullptr, 2),
       c = std::make_unique<Receipt>(account, nullptr, 3);
  b->store();
  EXPECT_EQ(account->counts(9).oldest_ns, 1);
  a->store();
  c->move_to(Stage::elements);
  EXPECT_EQ(account->counts(9).oldest_ns, 3);
  EXPECT_EQ(account->counts(9).oldest_stage, Stage::elements);
  c->store();
  EXPECT_EQ(account->counts(9).oldest_ns, 0);
}

TEST(SourceAccount, MeasuresTheRateOfResults) {
  auto account = std::make_shared<SourceAccount>("cam");
  for (int64_t frame = 0; frame < 250; ++frame)
    account->count_result(100 * second + frame * second / 25 - second / 2,
                          100 * second + frame * second / 25);
  const auto counts = account->counts(110 * second);
  EXPECT_DOUBLE_EQ(counts.fps, 25);
  EXPECT_NEAR(counts.lag, 0.5, 1e-9);
  EXPECT_DOUBLE_EQ(account->counts(120 * second).fps, 0);
}

TEST(SourceAccount, TellsInWhichStageFramesWereDropped) {
  auto account = std::make_shared<SourceAccount>("cam");
  Receipt(account, nullptr, 1).drop("queue_full");
  Receipt(account, nullptr, 2).refuse("draining", true);
  for (int i = 0; i < 2; ++i) {
    Receipt receipt(account, nullptr, 3);
    receipt.move_to(Stage::elements);
    receipt.drop("draining");
  }
  const auto counts = account->counts(10);
  EXPECT_EQ(dropped(counts, "draining"), 3u);
  EXPECT_EQ(counts.dropped_in_all(), 4u);
  ASSERT_EQ(counts.dropped_by_stage.size(), 3u);
  uint64_t of_elements = 0;
  for (const auto& one : counts.dropped_by_stage) of_elements += one.stage == Stage::elements ? one.count : 0;
  EXPECT_EQ(of_elements, 2u);
}

// The identity holds at every moment, whatever happens on however many threads.
TEST(SourceAccount, IsBalancedAtEveryMomentUnderRandomFates) {
  auto account = std::make_shared<SourceAccount>("cam");
  const auto check = [&] {
    const auto counts = account->counts(1);
    ASSERT_EQ(counts.received, counts.stored + counts.dropped_in_all() + counts.in_flight);
  };
  std::vector<std::jthread> threads;
  for (unsigned seed = 1; seed <= 4; ++seed)
    threads.emplace_back([&, seed] {
      std::minstd_rand random(seed);
      std::vector<std::unique_ptr<Receipt>> open;
      for (int i = 0; i < 5000; ++i) {
        open.push_back(std::make_unique<Receipt>(account, nullptr, i + 1));
        if (open.size() < 8) continue;
        const auto at = open.begin() + ptrdiff_t(random() % open.size());
        switch (random() % 4) {
          case 0:
            (*at)->store();
            break;
          case 1:
            (*at)->drop("queue_full");
            break;
          case 2:
            (*at)->refuse("quarantined", true);
            break;
          default:
            break;  // abandoned
        }
        open.erase(at);
      }
    });
  for (int i = 0; i < 200; ++i) check();
  threads.clear();
  check();
  const auto counts = account->counts(1);
  EXPECT_EQ(counts.received, 20000u);
  EXPECT_EQ(counts.in_flight, 0u);
}

TEST(Accounts, ForgetsTheOldestThatNobodyUses) {
  Accounts accounts(2);
  for (const char* id : {"a", "b", "c"}) {
    auto account = accounts.open(id);
    Receipt(account, nullptr, *id * second).store();
  }
  const auto used = accounts.find("a");
  accounts.forget_old('c' * second);
  EXPECT_TRUE(accounts.find("a"));  // in use
  EXPECT_FALSE(accounts.find("b"));
  EXPECT_TRUE(accounts.find("c"));
  accounts.forget_old('c' * second + 301 * second);
  EXPECT_FALSE(accounts.find("c"));
}

TEST(Accounts, ForgetsASourceFiveMinutesAfterItsStreamHasGone) {
  Accounts accounts(10);
  {
    auto account = accounts.open("cam");  // a stream that lives for an hour without a frame
    Receipt(account, nullptr, 1 * second).store();
    account->set_ended_ns(3600 * second);
  }
  accounts.forget_old(3600 * second + 299 * second);
  EXPECT_TRUE(accounts.find("cam"));
  accounts.forget_old(3600 * second + 301 * second);
  EXPECT_FALSE(accounts.find("cam"));
}

// Stores nothing until it is cancelled.
class StuckSink final : public adapters::Sink {
 public:
  Status write(std::span<const adapters::RecordRef>, std::span<adapters::Stored>) override {
    cancelled_.wait();
    return fail(ErrorCode::cancelled, "given up");
  }
  void cancel() override { cancelled_.count_down(); }

 private:
  std::latch cancelled_{1};
};

TEST(SinkRunner, RefusesWhatItHasNotStoredWhenItStops) {
  adapters::SinkDesc desc;
  desc.name = "stuck";
  desc.create = [](const ParamSet&, const adapters::SinkContext&) -> Result<std::unique_ptr<adapters::Sink>> {
    return std::make_unique<StuckSink>();
  };
  SinkSettings settings{.name = "store", .module = "test", .required = true, .desc = &desc};
  settings.queue.records = 4;
  settings.queue.policy = QueuePolicy::block;
  settings.params = std::make_shared<ParamSet>(desc.params);
  auto runner = SinkRunner::open(settings);
  ASSERT_TRUE(runner) << runner.error().message;
  ASSERT_TRUE((*runner)->start());
  std::vector<std::shared_ptr<Counted>> writers;
  std::vector<ParcelRef> waiting;
  for (int i = 0; i < 10; ++i) {
    const auto& writer = writers.emplace_back(std::make_shared<Counted>());
    auto parcel =
        std::make_shared<const Parcel>(adapters::testing::frame_record({.seq = i}), nullptr, nullptr, writer);
    if ((*runner)->offer(parcel, 1, [] {}) == SinkRunner::Offer::full)
      waiting.push_back(std::move(parcel));
    else
      parcel->done(true);
  }
  ASSERT_FALSE(waiting.empty());
  EXPECT_GT((*runner)->stop(0), 0u);
  // As their streams do, once they are woken.
  for (const auto& parcel : waiting) {
    EXPECT_EQ((*runner)->offer(parcel, 1, [] {}), SinkRunner::Offer::taken);
    parcel->done(true);
  }
  waiting.clear();
  for (const auto& writer : writers) {
    EXPECT_EQ(writer->processes, 0);
    EXPECT_EQ(writer->last, "unfinished!");
  }
}

}  // namespace
}  // namespace sightglass::module
