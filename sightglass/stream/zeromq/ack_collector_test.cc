#include "sightglass/stream/zeromq/ack_collector.h"

#include <gmock/gmock.h>

namespace sightglass::stream {
namespace {

using namespace std::chrono_literals;
using testing::IsEmpty;
using testing::SizeIs;

struct Bench {
  AckCollector acks{{}};
  AckCollector::Time now{};
  EpochKey key{{1}, "cam", 0};

  void receive(int64_t from, int64_t to, uint64_t connection = 1) {
    for (int64_t seq = from; seq <= to; ++seq) acks.received(key, seq, connection, now);
  }
  void settle(int64_t from, int64_t to) {
    for (int64_t seq = from; seq <= to; ++seq) acks.settle(key, seq, now);
  }
};

TEST(AckCollector, SpeaksAfterSixteenMessagesOrTwentyMilliseconds) {
  Bench bench;
  bench.receive(0, 20);
  bench.settle(0, 14);
  EXPECT_THAT(bench.acks.due(bench.now), IsEmpty());
  bench.settle(15, 15);
  const auto due = bench.acks.due(bench.now);
  ASSERT_THAT(due, SizeIs(1));
  EXPECT_EQ(due[0].key, bench.key);
  EXPECT_EQ(due[0].ack.producer, bench.key.producer);
  EXPECT_EQ(due[0].ack.through, 15);
  bench.settle(16, 16);
  EXPECT_EQ(bench.acks.deadline(), bench.now + 20ms);
  bench.now += 19ms;
  EXPECT_THAT(bench.acks.due(bench.now), IsEmpty());
  bench.now += 1ms;
  EXPECT_EQ(bench.acks.due(bench.now).at(0).ack.through, 16);
  EXPECT_FALSE(bench.acks.deadline());
}

TEST(AckCollector, NeverPassesAGap) {
  Bench bench;
  bench.receive(0, 10);
  bench.settle(0, 2);
  bench.settle(4, 10);
  EXPECT_EQ(bench.acks.due(bench.now, true).at(0).ack.through, 2);
  bench.settle(3, 3);
  EXPECT_EQ(bench.acks.due(bench.now, true).at(0).ack.through, 10);
}

TEST(AckCollector, FirstMessageOfAConnectionProvesThoseBefore) {
  Bench bench;
  bench.receive(100, 101);
  bench.settle(100, 101);
  EXPECT_EQ(bench.acks.through(bench.key), 101);
  // In the middle of a connection a higher one proves nothing.
  bench.receive(103, 103);
  bench.settle(103, 103);
  EXPECT_EQ(bench.acks.through(bench.key), 101);
  // On the next connection it does; a lower one takes nothing back.
  bench.receive(90, 90, 2);
  EXPECT_EQ(bench.acks.through(bench.key), 101);
  bench.receive(103, 103, 3);
  EXPECT_EQ(bench.acks.through(bench.key), 103);
}

TEST(AckCollector, RefusalsAreListedOnceAndThoseForNowAreNotSettled) {
  Bench bench;
  bench.receive(0, 3);
  bench.settle(0, 0);
  bench.acks.refuse(bench.key, 1, "malformed", false, bench.now);
  bench.acks.refuse(bench.key, 2, "quarantined", true, bench.now);
  bench.settle(3, 3);
  auto due = bench.acks.due(bench.now, true);
  ASSERT_THAT(due, SizeIs(1));
  EXPECT_EQ(due[0].ack.through, 1);
  ASSERT_THAT(due[0].ack.refused, SizeIs(2));
  EXPECT_EQ(due[0].ack.refused[1], (Refusal{2, "quarantined", true}));
  bench.settle(2, 2);
  due = bench.acks.due(bench.now, true);
  EXPECT_EQ(due.at(0).ack.through, 3);
  EXPECT_THAT(due.at(0).ack.refused, IsEmpty());
}

TEST(AckCollector, RepeatsWhatItSaid) {
  Bench bench;
  bench.receive(0, 5);
  bench.settle(0, 5);
  (void)bench.acks.due(bench.now, true);
  bench.acks.repeat(bench.key, bench.now);
  EXPECT_EQ(bench.acks.due(bench.now, true).at(0).ack.through, 5);
}

TEST(AckCollector, EndOfStreamComesAfterAllEarlierResults) {
  Bench bench;
  bench.receive(0, 3);  // 3 is the end
  bench.settle(3, 3);
  EXPECT_EQ(bench.acks.through(bench.key), -1);
  bench.settle(0, 2);
  EXPECT_EQ(bench.acks.through(bench.key), 3);
}

TEST(AckCollector, AsksForAKeyframeOnceAndAtOnce) {
  Bench bench;
  bench.receive(0, 0);
  bench.acks.request_keyframe(bench.key, bench.now);
  EXPECT_EQ(bench.acks.due(bench.now).at(0).ack.resume, Resume::keyframe);
  bench.settle(0, 0);
  EXPECT_EQ(bench.acks.due(bench.now, true).at(0).ack.resume, Resume::none);
}

TEST(AckCollector, KeepsNothingOfWhatItDoesNotKnow) {
  Bench bench;
  bench.settle(0, 5);
  bench.acks.repeat(bench.key, bench.now);
  EXPECT_THAT(bench.acks.due(bench.now, true), IsEmpty());
  AckCollector small({.epochs = 2, .ahead = 4});
  for (uint8_t i = 0; i < 10; ++i) {
    const EpochKey key{{i}, "cam", 0};
    small.received(key, 0, 1, bench.now += 1ms);
    for (int64_t seq = 1; seq < 100; ++seq) small.settle(key, seq, bench.now);
    EXPECT_EQ(small.through(key), -1);
    small.settle(key, 0, bench.now);
    EXPECT_EQ(small.through(key), 4);  // of those ahead it kept four: 1, 2, 3, 4
    EXPECT_THAT(small.due(bench.now, true), SizeIs(1));
  }
}

TEST(F07, FirstMessageBehindDroppedOnesProvesNothing) {
  Bench bench;
  bench.acks.dropped(1);  // 0 … 4, of which nothing was known
  EXPECT_FALSE(bench.acks.received(bench.key, 5, 1, bench.now));
  EXPECT_FALSE(bench.acks.received(bench.key, 6, 1, bench.now));
  EXPECT_EQ(bench.acks.through(bench.key), -1);
  // The writer is asked to start again, and does so at its oldest open message.
  const auto due = bench.acks.due(bench.now);
  ASSERT_THAT(due, SizeIs(1));
  EXPECT_EQ(due[0].ack.through, -1);
  EXPECT_EQ(due[0].ack.resume, Resume::keyframe);
  EXPECT_TRUE(bench.acks.received(bench.key, 2, 1, bench.now));
  EXPECT_EQ(bench.acks.through(bench.key), 1);
  bench.receive(3, 8);
  bench.settle(2, 8);
  EXPECT_EQ(bench.acks.through(bench.key), 8);
}

TEST(F07, DropsInTheMiddleOfARepetitionProveNothingEither) {
  Bench bench;
  bench.acks.dropped(1);
  EXPECT_FALSE(bench.acks.received(bench.key, 5, 1, bench.now));
  bench.acks.dropped(1);  // the first ones of the repetition again
  EXPECT_FALSE(bench.acks.received(bench.key, 3, 1, bench.now));
  EXPECT_FALSE(bench.acks.received(bench.key, 4, 1, bench.now));
  EXPECT_EQ(bench.acks.through(bench.key), -1);
  EXPECT_TRUE(bench.acks.received(bench.key, 0, 1, bench.now));
  // Another connection has lost nothing.
  const EpochKey other{{2}, "cam", 0};
  EXPECT_TRUE(bench.acks.received(other, 9, 2, bench.now));
  EXPECT_EQ(bench.acks.through(other), 8);
}

TEST(F07, EpochsWithOpenMessagesAreNotForgotten) {
  Bench bench;
  AckCollector small({.epochs = 2});
  const EpochKey a{{1}, "a", 0}, b{{1}, "b", 0}, c{{1}, "c", 0};
  EXPECT_TRUE(small.received(a, 0, 1, bench.now));
  EXPECT_TRUE(small.received(b, 0, 1, bench.now += 1ms));
  EXPECT_FALSE(small.received(c, 0, 1, bench.now += 1ms));  // no room: it comes again
  small.settle(b, 0, bench.now);
  (void)small.due(bench.now, true);
  EXPECT_FALSE(small.received(c, 1, 1, bench.now += 1ms));  // takes the place of b, and lacks 0
  EXPECT_TRUE(small.received(c, 0, 1, bench.now += 1ms));
  small.settle(a, 0, bench.now);
  EXPECT_EQ(small.through(a), 0);
  // Writers that are gone make room.
  EXPECT_TRUE(small.received(b, 0, 2, bench.now += 61s));
}

}  // namespace
}  // namespace sightglass::stream
