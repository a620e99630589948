#include "sightglass/adapters/kafka/offset_sequence.h"

#include <gtest/gtest.h>

namespace sightglass::adapters {
namespace {

using namespace std::chrono_literals;
using Verdict = OffsetSequence::Verdict;

class KafkaOffsetSequence : public testing::Test {
 protected:
  Verdict check(int64_t offset, int32_t epoch = 0, int64_t time_ms = 1000) {
    const auto found = order.check(offset, epoch, time_ms, now);
    passed_over += found.passed_over;
    return found.verdict;
  }
  void read_to(int64_t end) {
    for (int64_t offset = order.next(); offset < end; ++offset) ASSERT_EQ(check(offset), Verdict::next);
  }

  OffsetSequence order{0};
  OffsetSequence::Clock::time_point now{1h};
  int64_t passed_over = 0;
};

TEST_F(KafkaOffsetSequence, WhatIsMissingIsLookedForAndFound) {
  read_to(250);
  EXPECT_EQ(check(497), Verdict::missing);
  EXPECT_EQ(order.next(), 250);
  read_to(1000);
  EXPECT_EQ(passed_over, 0);
}

TEST_F(KafkaOffsetSequence, GapThatTheBrokersHaveTooIsPassedAfterOneLook) {
  read_to(250);
  EXPECT_EQ(check(497), Verdict::missing);
  EXPECT_EQ(check(497), Verdict::next);
  EXPECT_EQ(passed_over, 247);
  EXPECT_EQ(check(498), Verdict::next);
}

TEST_F(KafkaOffsetSequence, AnotherRecordBehindTheGapIsAnotherGap) {
  read_to(10);
  EXPECT_EQ(check(20), Verdict::missing);
  EXPECT_EQ(check(30), Verdict::missing);  // not even the one that was there
  EXPECT_EQ(check(15), Verdict::missing);
  EXPECT_EQ(check(15), Verdict::next);
  EXPECT_EQ(passed_over, 5);
}

TEST_F(KafkaOffsetSequence, LogFullOfGapsIsNotReadAtARequestPerRecord) {
  int looks = 0;
  for (int64_t offset = 1; offset < 2000; offset += 2) {
    while (check(offset) == Verdict::missing) ++looks;
    now += 1ms;
  }
  EXPECT_GE(looks, 9);
  EXPECT_LE(looks, 11);
  // One gap that is none makes no log full of gaps.
  now += 1s;
  EXPECT_EQ(check(order.next() + 5), Verdict::missing);
  read_to(order.next() + 5);
  EXPECT_EQ(check(order.next() + 5), Verdict::missing);
}

TEST_F(KafkaOffsetSequence, WhatCameBeforeIsARepeatUnlessItIsNewer) {
  order = OffsetSequence();
  EXPECT_EQ(check(100, 3, 1000), Verdict::next);  // wherever it begins
  EXPECT_EQ(check(101, 3, 900), Verdict::next);
  EXPECT_EQ(check(100, 3, 1000), Verdict::repeated);
  EXPECT_EQ(check(50, 2, 10), Verdict::repeated);
  EXPECT_EQ(check(50, -1, -1), Verdict::repeated);
  EXPECT_EQ(check(101, 4, 900), Verdict::rewritten);
  EXPECT_EQ(check(0, 0, 1001), Verdict::rewritten);
  EXPECT_EQ(check(102, 3, 1000), Verdict::next);
}

}  // namespace
}  // namespace sightglass::adapters
