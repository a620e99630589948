#include "sightglass/stream/lifecycle/sink_queue.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <numeric>
#include <thread>

#include "sightglass/core/allocation_count.h"
#include "tests/temporary_folder.h"

namespace sightglass::stream {
namespace {

namespace fs = std::filesystem;
using Status = SinkQueue::Status;
using namespace std::chrono_literals;

struct Options {
  uint64_t stream = 0;
  bool keyframe = true, keep = false;
};
SinkItem item(int number, const Options& options = {}) {
  return {.record = std::make_shared<int>(number),
          .bytes = 100,
          .stream = options.stream,
          .keyframe = options.keyframe,
          .keep = options.keep};
}
int number(const SinkItem& item) { return *item.as<int>(); }

struct Sink {
  explicit Sink(const SinkQueueLimits& limits, SinkSpill spill = {})
      : queue(
            limits, std::move(spill), [this](const SinkItem& gone) { dropped.push_back(number(gone)); },
            [this](const SinkItem& safe) { spilled.push_back(number(safe)); }) {}
  Status push(int value, const Options& options = {}) {
    SinkItem made = item(value, options);
    return queue.push(made);
  }
  std::vector<int> take(size_t most = 1000) {
    std::vector<SinkItem> items;
    queue.pop(items, most, 0ns);
    queue.done(items.size());
    std::vector<int> numbers;
    for (const SinkItem& taken : items) numbers.push_back(number(taken));
    return numbers;
  }
  std::vector<int> dropped, spilled;
  SinkQueue queue;
};
std::vector<int> range(int from, int to) {
  std::vector<int> numbers(size_t(to - from));
  std::iota(numbers.begin(), numbers.end(), from);
  return numbers;
}

TEST(SinkQueue, BlockAnswersFullAndLeavesTheRecordWithItsWriter) {
  Sink sink({.records = 2, .policy = QueuePolicy::block});
  sink.push(0), sink.push(1);
  SinkItem third = item(2);
  EXPECT_EQ(sink.queue.push(third), Status::full);
  EXPECT_EQ(sink.queue.push(third, 1ms), Status::full);
  EXPECT_TRUE(third.record);
  EXPECT_FALSE(sink.queue.has_room());
  std::thread takes([&] { EXPECT_EQ(sink.take(1), std::vector{0}); });
  EXPECT_EQ(sink.queue.push(third, 1h), Status::taken);
  takes.join();
  EXPECT_EQ(sink.take(), range(1, 3));
  EXPECT_TRUE(sink.dropped.empty());
}

TEST(SinkQueue, DropOldestMakesRoom) {
  Sink sink({.records = 3, .policy = QueuePolicy::drop_oldest});
  for (int i = 0; i < 10; ++i) EXPECT_EQ(sink.push(i), Status::taken);
  EXPECT_EQ(sink.dropped, range(0, 7));
  EXPECT_EQ(sink.take(), range(7, 10));
  const auto counts = sink.queue.counts();
  EXPECT_EQ(counts.pushed, counts.delivered + counts.dropped);
}

TEST(SinkQueue, WhatTheSinkHasIsNotDropped) {
  Sink sink({.records = 3, .policy = QueuePolicy::drop_oldest});
  for (int i = 0; i < 3; ++i) sink.push(i);
  std::vector<SinkItem> items;
  ASSERT_TRUE(sink.queue.pop(items, 2, 0ns));
  EXPECT_EQ(sink.push(3), Status::taken);
  EXPECT_EQ(sink.dropped, std::vector{2});
  EXPECT_EQ(sink.push(4), Status::taken);
  EXPECT_EQ(sink.dropped, (std::vector{2, 3}));
  sink.queue.retry();
  EXPECT_EQ(sink.take(), (std::vector{0, 1, 4}));
}

TEST(SinkQueue, BytesCountAndOneRecordAlwaysFits) {
  Sink sink({.records = 100, .bytes = 250, .policy = QueuePolicy::drop_oldest});
  for (int i = 0; i < 3; ++i) sink.push(i);
  EXPECT_EQ(sink.dropped, std::vector{0});
  SinkItem large = item(9);
  large.bytes = 1 << 20;
  EXPECT_EQ(sink.queue.push(large), Status::taken);
  EXPECT_EQ(sink.take(), std::vector{9});
}

TEST(SinkQueue, DropToKeyframeNeverTearsAStream) {
  Sink sink({.records = 4, .policy = QueuePolicy::drop_to_keyframe});
  sink.push(0, {.stream = 1}), sink.push(1, {.stream = 1, .keyframe = false});
  sink.push(100, {.stream = 2}), sink.push(101, {.stream = 2, .keyframe = false});
  EXPECT_EQ(sink.push(2, {.stream = 1, .keyframe = false}), Status::dropped);
  EXPECT_EQ(sink.push(3, {.stream = 1, .keyframe = true}), Status::taken) << "replaces 0 and 1";
  EXPECT_EQ(sink.dropped, (std::vector{2, 0}));  // as many as it takes
  EXPECT_EQ(sink.push(102, {.stream = 2, .keyframe = false}), Status::dropped);
  EXPECT_EQ(sink.take(1), std::vector{1});
  EXPECT_EQ(sink.push(103, {.stream = 2, .keyframe = false}), Status::dropped)
      << "room, but it builds on 102";
  EXPECT_EQ(sink.push(4, {.stream = 1, .keyframe = false}), Status::taken) << "another stream";
}

TEST(SinkQueue, EosIsNeverDropped) {
  for (const QueuePolicy policy :
       {QueuePolicy::block, QueuePolicy::drop_oldest, QueuePolicy::drop_to_keyframe}) {
    Sink sink({.records = 2, .reserve = 2, .policy = policy});
    sink.push(0), sink.push(1, {.keep = true});
    EXPECT_EQ(sink.push(2, {.keep = true}), Status::taken);
    EXPECT_EQ(sink.push(3, {.keep = true}), Status::taken);
    EXPECT_EQ(sink.push(4, {.keep = true}), Status::full) << "waits";
    for (int i = 10; i < 20; ++i) sink.push(i);
    const auto left = sink.take();
    for (const int kept : {1, 2, 3}) EXPECT_TRUE(std::ranges::contains(left, kept)) << kept;
  }
}

TEST(SinkQueue, PoppedRecordsComeAgainAfterARetry) {
  Sink sink({.policy = QueuePolicy::block});
  for (int i = 0; i < 5; ++i) sink.push(i);
  std::vector<SinkItem> items;
  ASSERT_TRUE(sink.queue.pop(items, 3, 0ns));
  EXPECT_FALSE(sink.queue.is_empty());
  sink.queue.done(1);
  sink.queue.retry();
  EXPECT_EQ(sink.take(), range(1, 5));
  EXPECT_TRUE(sink.queue.is_empty());
}

TEST(SinkQueue, ClosedQueueGivesWhatItHas) {
  Sink sink({.policy = QueuePolicy::block});
  sink.push(0);
  std::thread waits([&] {
    std::vector<SinkItem> items;
    while (sink.queue.pop(items, 10, 1h)) continue;
    EXPECT_EQ(items.size(), 1u);
  });
  sink.queue.close();
  waits.join();
  EXPECT_EQ(sink.push(1), Status::closed);
}

TEST(SinkQueue, PopWaitsForAsManyAsWereAskedFor) {
  Sink sink({.records = 100, .policy = QueuePolicy::block});
  std::vector<SinkItem> items;
  std::thread waits([&] { EXPECT_TRUE(sink.queue.pop(items, 10, 1h, 10)); });
  for (int i = 0; i < 10; ++i) sink.push(i);
  waits.join();
  EXPECT_EQ(items.size(), 10u);
  sink.push(10);
  EXPECT_TRUE(sink.queue.pop(items, 10, 0ns, 10)) << "what there is when the time is up";
  EXPECT_EQ(items.size(), 11u);
}

TEST(SinkQueue, FullQueueGivesFewerThanWereAskedFor) {
  Sink sink({.records = 4, .policy = QueuePolicy::block});
  for (int i = 0; i < 4; ++i) sink.push(i);
  std::vector<SinkItem> items;
  ASSERT_TRUE(sink.queue.pop(items, 10, 1h, 10)) << "no more can come";
  EXPECT_EQ(items.size(), 4u);
  EXPECT_FALSE(sink.queue.pop(items, 6, 1h, 6)) << "before these are stored";
  sink.queue.done(4);
  EXPECT_TRUE(sink.queue.is_empty());
}

TEST(SinkQueue, AllocatesNothingOnceWarm) {
  Sink sink({.policy = QueuePolicy::drop_oldest});
  const SinkItem made = item(1);
  std::vector<SinkItem> items;
  items.reserve(100);
  const auto round = [&] {
    for (int i = 0; i < 50; ++i) {
      SinkItem copy = made;
      sink.queue.push(copy);
    }
    sink.queue.pop(items, 100, 0ns);
    sink.queue.done(items.size());
    items.clear();
  };
  round();
  const size_t before = allocation_count();
  for (int i = 0; i < 50; ++i) round();
  EXPECT_EQ(allocation_count(), before);
}

// ── spill ──

class SinkSpillTest : public testing::Test {
 protected:
  SinkSpill spill(uint64_t most_bytes = 64 << 10) {
    auto file = SpillFile::open(folder_, {.most_bytes = most_bytes, .segment_bytes = 4096});
    EXPECT_TRUE(file);
    return {std::move(*file),
            [](const SinkItem& from, std::vector<uint8_t>& bytes) {
              bytes.resize(bytes.size() + 100);
              const int value = number(from);
              std::memcpy(&bytes[bytes.size() - 100], &value, sizeof(value));
            },
            [this](std::span<const uint8_t> bytes) -> Result<SinkItem> {
              ++decoded_;
              int value = 0;
              if (bytes.size() != 100) return fail(ErrorCode::corrupt, "not a record");
              std::memcpy(&value, bytes.data(), sizeof(value));
              return item(value);
            }};
  }
  const test::TemporaryFolder temporary_{};
  const std::string folder_ = temporary_.path();
  int decoded_ = 0;
  static constexpr SinkQueueLimits limits{.records = 4, .policy = QueuePolicy::spill};
};

TEST_F(SinkSpillTest, KeepsTheOrderThroughMemoryAndDisk) {
  Sink sink(limits, spill());
  for (int i = 0; i < 4; ++i) EXPECT_EQ(sink.push(i), Status::taken);
  for (int i = 4; i < 20; ++i) EXPECT_EQ(sink.push(i), Status::taken);
  std::vector<int> got = sink.take(2);
  EXPECT_EQ(sink.push(20), Status::taken) << "memory has room, but older ones are on disk";
  while (!sink.queue.is_empty()) {
    const auto more = sink.take(3);
    ASSERT_FALSE(more.empty());
    got.insert(got.end(), more.begin(), more.end());
  }
  EXPECT_EQ(got, range(0, 21));
  EXPECT_EQ(sink.push(21), Status::taken);
  EXPECT_EQ(sink.queue.counts().spilled, 17u);
  EXPECT_EQ(sink.queue.counts().spill_bytes, 0u);
  EXPECT_TRUE(sink.dropped.empty());
}

TEST_F(SinkSpillTest, WhatWasNotDeliveredIsThereAfterARestart) {
  {
    Sink sink(limits, spill());
    for (int i = 0; i < 20; ++i) sink.push(i);
    EXPECT_EQ(sink.take(6), range(0, 4));
    EXPECT_EQ(sink.take(2), range(4, 6));
    std::vector<SinkItem> items;
    ASSERT_TRUE(sink.queue.pop(items, 3, 0ns));  // popped, not delivered
  }
  Sink sink(limits, spill());
  std::vector<int> got;
  while (!sink.queue.is_empty())
    for (const int more : sink.take()) got.push_back(more);
  EXPECT_EQ(got, range(6, 20));
}

TEST_F(SinkSpillTest, RecordThatCannotBeSpilledStaysInMemory) {
  SinkQueueLimits durable = limits;
  durable.durable = true;
  SinkSpill none = spill();
  none.encode = [](const SinkItem&, std::vector<uint8_t>&) {};
  Sink sink(durable, std::move(none));
  EXPECT_EQ(sink.push(1), Status::taken);
  EXPECT_EQ(sink.queue.counts().spill_errors, 1u);
  EXPECT_EQ(sink.take(), range(1, 2));
}

TEST_F(SinkSpillTest, DurableOneKeepsOnDiskWhatMemoryHadRoomFor) {
  SinkQueueLimits durable = limits;
  durable.durable = true;
  {
    Sink sink(durable, spill());
    for (int i = 0; i < 3; ++i) EXPECT_EQ(sink.push(i), Status::taken);
    EXPECT_EQ(sink.take(1), range(0, 1));
    EXPECT_EQ(sink.spilled, range(0, 3)) << "on disk before the sink has the first";
  }
  Sink sink(durable, spill());
  EXPECT_EQ(sink.take(), range(1, 3));
  EXPECT_TRUE(sink.queue.is_empty());
}

TEST_F(SinkSpillTest, IsOnDiskSoonThoughTheSinkAsksForNothing) {
  SinkQueueLimits durable = limits;
  durable.durable = true, durable.records = 2;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<int> spilled;
  SinkQueue queue(durable, spill(), {}, [&](const SinkItem& safe) {
    const std::lock_guard lock(mutex);
    spilled.push_back(number(safe));
    changed.notify_all();
  });
  for (int i = 0; i < 3; ++i) {  // two of them in memory as well
    SinkItem made = item(i);
    EXPECT_EQ(queue.push(made), Status::taken);
  }
  std::unique_lock lock(mutex);
  EXPECT_TRUE(changed.wait_for(lock, 30s, [&] { return spilled.size() == 3; }));
  EXPECT_EQ(spilled, range(0, 3));
}

TEST_F(SinkSpillTest, ManyAreWrittenAtOnceAndToldInOrder) {
  SinkQueueLimits durable = limits;
  durable.durable = true, durable.records = 700;
  Sink sink(durable, spill(1 << 20));
  for (int i = 0; i < 2000; ++i) EXPECT_EQ(sink.push(i), Status::taken);
  sink.queue.close();
  EXPECT_EQ(sink.spilled, range(0, 2000)) << "closed: all that was taken is safe";
  EXPECT_EQ(sink.queue.counts().spilled, 2000u);
  EXPECT_EQ(sink.queue.counts().spill_records, 1300u);
  std::vector<int> got;
  while (!sink.queue.is_empty())
    for (const int more : sink.take()) got.push_back(more);
  EXPECT_EQ(got, range(0, 2000));
  EXPECT_EQ(decoded_, 1300);
}

TEST_F(SinkSpillTest, KilledOneLosesNothingThatItHasSaidToBeOnDisk) {
  SinkQueueLimits durable = limits;
  durable.durable = true, durable.records = 50;
  for (int round = 0; round < 5; ++round) {
    int pipe_ends[2];
    ASSERT_EQ(pipe(pipe_ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      SinkQueue queue(durable, spill(16 << 20), {}, [&](const SinkItem& safe) {
        const int value = number(safe);
        if (write(pipe_ends[1], &value, sizeof(value)) < 0) _exit(1);
      });
      for (int i = 0;; ++i) {
        SinkItem made = item(i);
        queue.push(made);
      }
    }
    close(pipe_ends[1]);
    std::vector<int> told;
    int value = 0;
    for (int i = 0; i < 500 + 777 * round; ++i) {
      ASSERT_EQ(read(pipe_ends[0], &value, sizeof(value)), 4);
      told.push_back(value);
    }
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    while (read(pipe_ends[0], &value, sizeof(value)) == 4) told.push_back(value);  // before it was killed
    close(pipe_ends[0]);
    EXPECT_EQ(told, range(0, int(told.size()))) << "in order, each once";
    Sink sink(durable, spill(16 << 20));
    std::vector<int> got;
    while (!sink.queue.is_empty())
      for (const int more : sink.take()) got.push_back(more);
    EXPECT_GE(got.size(), told.size());
    EXPECT_EQ(got, range(0, int(got.size())));
  }
}

TEST_F(SinkSpillTest, WhatMemoryHasRoomForIsNotReadBack) {
  SinkQueueLimits durable = limits;
  durable.durable = true;
  Sink sink(durable, spill());
  int next = 0, got = 0;
  std::vector<SinkItem> items;
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 3; ++i) EXPECT_EQ(sink.push(next++), Status::taken);
    ASSERT_TRUE(sink.queue.pop(items, 2, 0ns));
    sink.queue.retry();
    items.clear();
    ASSERT_TRUE(sink.queue.pop(items, 10, 0ns));
    for (const SinkItem& item : items) {
      EXPECT_EQ(number(item), got++) << "also after a retry";
      EXPECT_TRUE(item.on_disk) << "settled already";
    }
    sink.queue.done(items.size());
    items.clear();
    EXPECT_EQ(sink.queue.counts().spill_bytes, 0u) << "stored: the disk is free again";
  }
  EXPECT_EQ(got, 150);
  EXPECT_EQ(decoded_, 0);
  for (int i = 0; i < 20; ++i) sink.push(next++);
  while (!sink.queue.is_empty())
    for (const int more : sink.take()) EXPECT_EQ(more, got++) << "in order";
  EXPECT_EQ(got, next);
  EXPECT_EQ(decoded_, 16) << "those that memory had no room for";
}

TEST_F(SinkSpillTest, DurableOneWithALargerMemoryThanDiskLosesNothingThatIsInMemory) {
  SinkQueueLimits durable = limits;
  durable.durable = true, durable.records = 1000;
  Sink sink(durable, spill(32 << 10));
  for (int i = 0; i < 500; ++i) {
    EXPECT_EQ(sink.push(i), Status::taken);
  }
  EXPECT_EQ(sink.take(), range(0, 500));
  EXPECT_GT(sink.spilled.size(), 100u);
  EXPECT_LT(sink.spilled.size(), 400u) << "the others are not on disk: their writers wait";
  EXPECT_TRUE(sink.dropped.empty());
  EXPECT_EQ(sink.queue.counts().spill_dropped, 0u);
  EXPECT_EQ(sink.queue.counts().spill_bytes, 0u);
}

TEST_F(SinkSpillTest, WritersAndTheSinkWorkAtTheSameTime) {
  for (const bool is_durable : {false, true}) {
    SinkQueueLimits both = limits;
    both.durable = is_durable, both.records = 32;
    SinkQueue queue(both, spill(16 << 20));
    constexpr int writers = 3, records = 2000;
    std::vector<std::thread> threads;
    for (int writer = 0; writer < writers; ++writer)
      threads.emplace_back([&, writer] {
        for (int i = 0; i < records; ++i) {
          SinkItem made = item(writer * records + i);
          queue.push(made);
        }
      });
    std::array<int, writers> next{};
    std::vector<SinkItem> items;
    for (int got = 0; got < writers * records;) {
      if (!queue.pop(items, 20, 10ms, 20)) continue;
      for (const SinkItem& taken : items)
        EXPECT_EQ(number(taken) % records, next[size_t(number(taken) / records)]++) << "in order";
      got += int(items.size());
      queue.done(items.size());
      items.clear();
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_TRUE(queue.is_empty());
    EXPECT_EQ(queue.counts().spill_bytes, 0u);
  }
}

TEST_F(SinkSpillTest, OldestSegmentGoesAtTheLimitOfTheDisk) {
  Sink sink(limits, spill(32 << 10));
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(sink.push(i), Status::taken);
  const auto counts = sink.queue.counts();
  EXPECT_GT(counts.spill_dropped, 0u);
  EXPECT_EQ(counts.pushed, counts.records + counts.spill_records + counts.spill_dropped);
  std::vector<int> got;
  while (!sink.queue.is_empty())
    for (const int more : sink.take()) got.push_back(more);
  EXPECT_EQ(got.back(), 999);
  EXPECT_EQ(got.size(), 1000 - counts.spill_dropped);
}

TEST_F(SinkSpillTest, RecordsThatNobodyUnderstandsAreCountedAndPassed) {
  auto made = spill();
  ASSERT_TRUE(made.file->append(std::vector<uint8_t>(3)));  // of another version
  Sink sink(limits, std::move(made));
  for (int i = 0; i < 3; ++i) sink.push(i);
  EXPECT_EQ(sink.take(), range(0, 3));
  EXPECT_EQ(sink.queue.counts().spill_errors, 1u);
  EXPECT_EQ(sink.queue.counts().last_error, "not a record");
  EXPECT_EQ(sink.queue.counts().spill_bytes, 0u);
}

TEST_F(SinkSpillTest, RecordThatNeverFitsTakesNoOtherWithIt) {
  SinkSpill large = spill();
  large.encode = [encode = large.encode](const SinkItem& from, std::vector<uint8_t>& bytes) {
    if (number(from) == 8) return bytes.resize(bytes.size() + (64 << 10));
    encode(from, bytes);
  };
  Sink sink(limits, std::move(large));
  for (int i = 0; i < 12; ++i) EXPECT_EQ(sink.push(i), i == 8 ? Status::dropped : Status::taken);
  EXPECT_EQ(sink.dropped, std::vector{8}) << "older ones are on disk: memory would bring it before them";
  EXPECT_EQ(sink.queue.counts().spill_dropped, 0u);
  std::vector<int> got;
  while (!sink.queue.is_empty())
    for (const int more : sink.take()) got.push_back(more);
  EXPECT_EQ(got, (std::vector{0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11}));
}

TEST_F(SinkSpillTest, WhatTheDiskDoesNotTakeComesBehindWhatItHas) {
  SinkSpill some = spill();
  some.encode = [encode = some.encode](const SinkItem& from, std::vector<uint8_t>& bytes) {
    if (number(from) < 100) encode(from, bytes);
  };
  Sink sink(limits, std::move(some));
  for (int i = 0; i < 6; ++i) EXPECT_EQ(sink.push(i), Status::taken);
  EXPECT_EQ(sink.take(4), range(0, 4));
  EXPECT_EQ(sink.push(100), Status::taken);
  EXPECT_EQ(sink.push(101, {.keep = true}), Status::taken);
  EXPECT_EQ(sink.take(), (std::vector{4, 5, 100, 101}));
  EXPECT_TRUE(sink.queue.is_empty());
}

TEST_F(SinkSpillTest, DamageOnDiskIsCountedAsDropped) {
  Sink sink(limits, spill());
  for (int i = 0; i < 10; ++i) sink.push(i);
  EXPECT_EQ(sink.take(1), range(0, 1));  // by now the others are on disk
  for (const auto& entry : fs::directory_iterator(folder_))
    if (entry.path().extension() == ".spill") fs::resize_file(entry.path(), 16 + 2 * 112);
  std::vector<int> got;
  while (!sink.queue.is_empty())
    for (const int more : sink.take()) got.push_back(more);
  const auto counts = sink.queue.counts();
  EXPECT_GT(counts.spill_dropped, 0u);
  EXPECT_EQ(counts.pushed, counts.delivered + counts.spill_dropped);
}

TEST_F(SinkSpillTest, DiskThatFailsIsDropOldest) {
  auto made = spill();
  fs::remove_all(folder_);  // no segment can be made any more
  Sink sink(limits, std::move(made));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(sink.push(i), Status::taken);
  EXPECT_EQ(sink.take(), range(6, 10));
  EXPECT_EQ(sink.dropped, range(0, 6));
  EXPECT_EQ(sink.queue.counts().spill_errors, 6u);
  EXPECT_FALSE(sink.queue.counts().last_error.empty());
}

}  // namespace
}  // namespace sightglass::stream
