#include "sightglass/stream/zeromq/ack_window.h"

#include <gmock/gmock.h>

namespace sightglass::stream {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

// Plays both ends: what was sent as text, "5", "5+1" with attempt 1, "5r" as replay, "5-" as a number only.
struct Bench {
  AckWindow::Options options;
  AckWindow window{options};
  AckWindow::Time now{};

  explicit Bench(const AckWindow::Options& given = {}) : options(given) {}

  void add(int64_t seq, bool keyframe = false, const std::string& source = "cam", int64_t epoch = 0,
           uint64_t bytes = 1000, bool end = false) {
    auto packet = std::make_shared<Packet>();
    packet->source = source, packet->epoch = epoch, packet->seq = seq, packet->bytes = bytes;
    packet->keyframe = keyframe, packet->end = end;
    window.add(packet);
  }
  // Keyframe at every tenth.
  void add_range(int64_t from, int64_t to) {
    for (int64_t seq = from; seq <= to; ++seq) add(seq, seq % 10 == 0);
  }
  std::vector<std::string> send(size_t most = 1000) {
    std::vector<std::string> out;
    while (out.size() < most) {
      const auto next = window.next();
      if (!next) break;
      std::string text = next->packet->source == "cam" ? "" : next->packet->source + ":";
      text += std::to_string(next->packet->seq);
      if (next->attempt) text += std::format("+{}", next->attempt);
      out.push_back(text + (next->refused ? "-" : next->replay ? "r" : ""));
      window.sent(now);
    }
    return out;
  }
  AckWindow::Outcome ack(int64_t through, std::vector<Refusal> refused = {}, int64_t epoch = 0) {
    return window.acknowledge("cam", epoch, through, refused, now);
  }
};

TEST(AckWindow, HoldsBackAfterItsMessages) {
  Bench bench({.messages = 4});
  for (int64_t seq = 0; bench.window.has_room("cam", 1000); ++seq) bench.add(seq);
  EXPECT_EQ(bench.window.unacknowledged(), 4U);
  EXPECT_TRUE(bench.window.has_room("other", 1000));
  bench.send();
  EXPECT_EQ(bench.ack(1).settled, 2U);
  EXPECT_TRUE(bench.window.has_room("cam", 1000));
  EXPECT_EQ(bench.window.unacknowledged("cam"), 2U);
}

TEST(AckWindow, HoldsBackAfterItsBytesButTakesOneLargeMessage) {
  Bench bench({.bytes = 5000});
  EXPECT_TRUE(bench.window.has_room("cam", 9000));
  bench.add(0, true, "cam", 0, 9000);
  EXPECT_FALSE(bench.window.has_room("cam", 1));
  bench.send();
  bench.ack(0);
  bench.add(1, false, "cam", 0, 4000);
  EXPECT_FALSE(bench.window.has_room("cam", 1001));
  EXPECT_TRUE(bench.window.has_room("cam", 1000));
}

TEST(AckWindow, SourcesTakeTurns) {
  Bench bench;
  for (int64_t seq = 0; seq < 3; ++seq) {
    bench.add(seq, false, "a"), bench.add(seq, false, "b");
  }
  bench.add(0, false, "c");
  EXPECT_THAT(bench.send(), ElementsAre("a:0", "b:0", "c:0", "a:1", "b:1", "a:2", "b:2"));
}

TEST(AckWindow, SendsAgainWithoutProgressFromTheKeyframeOn) {
  Bench bench;
  bench.add_range(0, 14);
  bench.send();
  bench.now += 4s;
  bench.ack(11);
  bench.now += 4s;
  EXPECT_EQ(bench.window.tick(bench.now), 0U);  // there was progress
  EXPECT_EQ(bench.window.deadline(), AckWindow::Time(9s));
  bench.now += 1s;
  EXPECT_EQ(bench.window.tick(bench.now), 1U);
  // Not over a new connection, so the same attempt.
  EXPECT_THAT(bench.send(), ElementsAre("10r", "11r", "12", "13", "14"));
  EXPECT_EQ(bench.window.deadline(), AckWindow::Time(14s));
}

TEST(AckWindow, LateAcknowledgementMakesRepetitionNeedless) {
  Bench bench;
  bench.add_range(0, 9);
  bench.send();
  bench.now += 5s;
  bench.window.tick(bench.now);
  EXPECT_THAT(bench.send(2), ElementsAre("0", "1"));
  bench.ack(9);
  EXPECT_THAT(bench.send(), IsEmpty());
  bench.add(10);
  EXPECT_THAT(bench.send(), ElementsAre("10"));
}

TEST(AckWindow, NewConnectionStartsAtTheKeyframeOfTheOldestOpenMessage) {
  Bench bench;
  bench.add_range(0, 25);
  bench.send(20);
  bench.ack(12);
  bench.window.restart();
  EXPECT_THAT(bench.send(), ElementsAre("10+1r", "11+1r", "12+1r", "13+1", "14+1", "15+1", "16+1", "17+1",
                                        "18+1", "19+1", "20", "21", "22", "23", "24", "25"));
  bench.window.restart();
  EXPECT_THAT(bench.send(5), ElementsAre("10+2r", "11+2r", "12+2r", "13+2", "14+2"));
}

TEST(AckWindow, NewConnectionReplaysTheLastPicturesForTheNextOnes) {
  Bench bench;
  bench.add_range(0, 12);
  bench.send();
  bench.ack(12);
  EXPECT_EQ(bench.window.unacknowledged(), 0U);
  bench.window.restart();
  bench.add(13);
  EXPECT_THAT(bench.send(), ElementsAre("10+1r", "11+1r", "12+1r", "13"));
}

TEST(AckWindow, EndOfStreamLeavesNothingBehind) {
  Bench bench;
  bench.add_range(0, 3);
  bench.add(4, false, "cam", 0, 100, true);
  bench.send();
  bench.ack(4);
  EXPECT_EQ(bench.window.retained_bytes(), 0U);
  bench.window.restart();
  EXPECT_THAT(bench.send(), IsEmpty());
}

TEST(AckWindow, NextEpochMayBeAcknowledgedFirst) {
  Bench bench;
  bench.add(0, true), bench.add(1, false, "cam", 0, 100, true);
  bench.add(0, true, "cam", 1);
  bench.send();
  EXPECT_EQ(bench.ack(0, {}, 1).settled, 1U);
  EXPECT_EQ(bench.window.unacknowledged(), 2U);
  bench.window.restart();
  EXPECT_THAT(bench.send(), ElementsAre("0+1", "1+1", "0+1r"));
  EXPECT_EQ(bench.ack(1).settled, 2U);
}

TEST(AckWindow, RefusedForGoodIsHandedOutAndForNowIsSentAgain) {
  Bench bench;
  bench.add_range(0, 4);
  bench.send();
  const auto outcome = bench.ack(1, {{2, "malformed", false}, {3, "quarantined", true}});
  EXPECT_EQ(outcome.settled, 3U);
  ASSERT_EQ(outcome.refused.size(), 1U);
  EXPECT_EQ(outcome.refused[0].packet->seq, 2);
  EXPECT_EQ(outcome.refused[0].code, "malformed");
  bench.now += 5s;
  EXPECT_EQ(bench.window.tick(bench.now), 1U);
  EXPECT_THAT(bench.send(), ElementsAre("0r", "1r", "2-", "3", "4"));
  EXPECT_EQ(bench.ack(4).settled, 2U);
  EXPECT_TRUE(bench.ack(4, {{2, "malformed", false}}).refused.empty());  // said again
}

TEST(W13, AcksForWhatWasNeverSentAreIgnored) {
  Bench bench;
  bench.add_range(0, 3);
  bench.send(2);
  EXPECT_FALSE(bench.ack(2).known);
  EXPECT_FALSE(bench.ack(0, {{3, "x", false}}).known);
  EXPECT_FALSE(bench.ack(0, {}, 7).known);
  EXPECT_FALSE(bench.window.acknowledge("other", 0, 0, {}, bench.now).known);
  EXPECT_EQ(bench.window.unacknowledged(), 4U);
  EXPECT_TRUE(bench.ack(-1).known);
  EXPECT_EQ(bench.ack(1).settled, 2U);
}

TEST(AckWindow, RetainsNoMoreThanItMay) {
  Bench bench({.retained = 5000});
  bench.add_range(0, 9);
  bench.send();
  bench.ack(4);
  EXPECT_EQ(bench.window.retained_bytes(), 5000U);
  bench.ack(5);
  EXPECT_EQ(bench.window.retained_bytes(), 0U);
  bench.window.restart();
  EXPECT_THAT(bench.send(), ElementsAre("6+1", "7+1", "8+1", "9+1"));
}

TEST(AckWindow, ReaderCanAskForTheKeyframe) {
  Bench bench;
  bench.add_range(0, 12);
  bench.send();
  bench.ack(11);
  bench.window.rewind("cam");
  EXPECT_THAT(bench.send(), ElementsAre("10r", "11r", "12"));
}

}  // namespace
}  // namespace sightglass::stream
