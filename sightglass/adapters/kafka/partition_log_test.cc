#include "sightglass/adapters/kafka/partition_log.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

namespace sightglass::adapters {
namespace {

LogEntry key(std::string_view source, int64_t time_ms = -1) {
  return {.source_id = source, .keyframe = true, .time_ms = time_ms, .read_ms = time_ms};
}
LogEntry delta(std::string_view source, int64_t time_ms = -1) {
  return {.source_id = source, .time_ms = time_ms, .read_ms = time_ms};
}
LogEntry picture(std::string_view source) {
  return {.source_id = source, .keyframe = true, .stands_alone = true};
}
LogEntry end(std::string_view source) { return {.source_id = source, .ends = true}; }

TEST(KafkaPartitionLog, KnowsNoPositionBeforeAnythingWasRead) {
  PartitionLog log;
  EXPECT_EQ(log.position(), LogPosition());
  EXPECT_FALSE(log.done(3));
}

TEST(KafkaPartitionLog, CommitsTheKeyframeThatOpensTheOldestUnfinishedGroup) {
  PartitionLog log;
  for (int64_t offset = 40; offset < 48; ++offset) {
    const bool first = offset == 40 || offset == 41 || offset == 44 || offset == 45;
    log.add(offset, {.source_id = first ? "cam-1" : "cam-2",
                     .keyframe = offset == 40 || offset == 42 || offset == 46});
  }
  for (const int64_t offset : {47, 40, 41, 44, 45, 42, 46}) EXPECT_TRUE(log.done(offset));
  // cam-1 may go on with its group.
  EXPECT_EQ(log.position(), (LogPosition{.offset = 40, .processed = 43}));
  log.add(48, key("cam-1"));
  EXPECT_EQ(log.position(), (LogPosition{.offset = 42, .processed = 43}));
  log.done(43);
  EXPECT_EQ(log.position(), (LogPosition{.offset = 46, .processed = 48}));
  EXPECT_EQ(log.unfinished(), 1u);
}

TEST(KafkaPartitionLog, GroupIsNeededUntilTheNextOneOpensOrTheStreamEnds) {
  PartitionLog log;
  log.add(0, key("cam"));
  log.add(1, delta("cam"));
  log.done(0);
  log.done(1);
  EXPECT_EQ(log.position(), (LogPosition{.offset = 0, .processed = 2}));
  log.add(2, end("cam"));
  EXPECT_EQ(log.position(), (LogPosition{.offset = 0, .processed = 2}));
  log.done(2);
  EXPECT_EQ(log.position(), (LogPosition{.offset = 3, .processed = 3}));
}

TEST(KafkaPartitionLog, PicturesThatStandAloneHoldNothing) {
  PartitionLog log;
  for (int64_t offset = 0; offset < 10; ++offset) log.add(offset, picture("cam"));
  for (const int64_t offset : {0, 1, 2, 4}) log.done(offset);
  EXPECT_EQ(log.position(), (LogPosition{.offset = 3, .processed = 3}));
  log.done(3);
  EXPECT_EQ(log.position(), (LogPosition{.offset = 5, .processed = 5}));
}

TEST(KafkaPartitionLog, FramesWithoutAKeyframeHoldNothingOnceTheyAreDone) {
  PartitionLog log;
  log.add(7, delta("cam"));
  log.add(8, delta("cam"));
  log.done(7);
  EXPECT_EQ(log.position(), (LogPosition{.offset = 8, .processed = 8}));
  log.done(8);
  EXPECT_EQ(log.position(), (LogPosition{.offset = 9, .processed = 9}));
}

TEST(KafkaPartitionLog, IsDoneOnlyOnce) {
  PartitionLog log;
  log.add(0, picture("cam"));
  log.add(1, picture("cam"));
  EXPECT_TRUE(log.done(1));
  EXPECT_FALSE(log.done(1));
  EXPECT_TRUE(log.done(0));
  EXPECT_FALSE(log.done(0));
}

TEST(KafkaPartitionLog, SilentSourceHoldsThePositionForAMinuteOfThePartition) {
  PartitionLog log;
  log.add(0, key("gone", 1000));
  log.done(0);
  for (int64_t i = 1; i <= 100; ++i) {
    log.add(i, key("cam", 1000 + i * 1000));
    log.done(i);
    if (i == 55) {
      EXPECT_EQ(log.position().offset, 0);
    }
  }
  EXPECT_EQ(log.position(), (LogPosition{.offset = 100, .processed = 101}));
}

TEST(KafkaPartitionLog, HostsWhoseClocksDifferDoNotCloseEachOthersGroups) {
  PartitionLog log;
  auto add = [&, offset = int64_t(0)](LogEntry entry, int64_t read_ms) mutable {
    entry.read_ms = read_ms;
    log.add(offset, entry);
    log.done(offset++);
  };
  add(key("late", 0), 0);
  for (int64_t i = 1; i <= 200; ++i)
    add(delta(i % 2 ? "late" : "early", i * 100 + (i % 2 ? 0 : 600'000)), i * 1000);
  EXPECT_EQ(log.position().offset, 0) << "its group is open";
  for (int64_t i = 201; i <= 300; ++i) add(key("early", i * 100 + 600'000), i * 1000);
  EXPECT_EQ(log.position().offset, 300) << "it has been silent for long, by our clock as well";
}

TEST(KafkaPartitionLog, WhatIsNotDoneIsNeverForgotten) {
  PartitionLog log;
  log.add(0, key("held", 0));
  for (int64_t i = 1; i <= 1000; ++i) {
    log.add(i, key("cam", i * 1000));
    log.done(i);
  }
  EXPECT_EQ(log.position(), (LogPosition{.offset = 0, .processed = 0}));
  EXPECT_TRUE(log.done(0));
  EXPECT_EQ(log.position().processed, 1001);
}

// Against the definition, with any order of settlements.
TEST(KafkaPartitionLog, NeverCommitsBeyondWhatAnUnfinishedFrameNeeds) {
  std::mt19937 random(1);
  for (int round = 0; round < 50; ++round) {
    PartitionLog log;
    struct Frame {
      int source = 0;
      int64_t opened = 0;
      bool is_done = false;
    };
    std::vector<Frame> frames;
    std::vector<int64_t> opened(3, -1);
    static constexpr std::string_view names[] = {"a", "b", "c"};
    for (int step = 0; step < 400; ++step) {
      if (random() % 2 || frames.empty()) {
        const int source = int(random() % 3);
        const bool is_key = opened[size_t(source)] < 0 || random() % 5 == 0;
        if (is_key) opened[size_t(source)] = int64_t(frames.size());
        log.add(int64_t(frames.size()), {.source_id = names[source], .keyframe = is_key});
        frames.push_back({.source = source, .opened = opened[size_t(source)]});
      } else {
        const size_t any = random() % frames.size();
        EXPECT_EQ(log.done(int64_t(any)), !frames[any].is_done);
        frames[any].is_done = true;
      }
      int64_t wanted = int64_t(frames.size()), processed = wanted;
      for (size_t i = frames.size(); i-- > 0;)
        if (!frames[i].is_done) {
          wanted = std::min(wanted, frames[i].opened);
          processed = int64_t(i);
        }
      for (const int64_t open : opened)
        if (open >= 0) wanted = std::min(wanted, open);  // may go on
      ASSERT_EQ(log.position(), (LogPosition{.offset = wanted, .processed = processed}));
    }
  }
}

TEST(KafkaCommitNote, ReadsWhatItWrites) {
  const auto note = parse_commit_note(to_string({.processed = 43, .partitions = 12}));
  ASSERT_TRUE(note);
  EXPECT_EQ(note->processed, 43);
  EXPECT_EQ(note->partitions, 12);
}

TEST(KafkaCommitNote, IgnoresNotesOfOthers) {
  for (const char* text : {"", "hello", "sightglass 2 processed=1 partitions=1", "sightglass 1",
                           "sightglass 1 processed=x partitions=1", "sightglass 1 processed=-4 partitions=1",
                           "sightglass 1 processed=4 partitions=0", "sightglass 1 processed=4 partitions=3x"})
    EXPECT_FALSE(parse_commit_note(text)) << text;
}

}  // namespace
}  // namespace sightglass::adapters
