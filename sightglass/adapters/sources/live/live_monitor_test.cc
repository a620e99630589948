#include "sightglass/adapters/sources/live/live_monitor.h"

#include <gtest/gtest.h>

#include "sightglass/adapters/sources/live/backoff.h"

namespace sightglass::adapters {
namespace {

constexpr Time ms = 1'000'000, second = 1000 * ms;

class Monitor : public testing::Test {
 protected:
  // Frames every 40 ms for so long.
  void run_for(Time length) {
    for (const Time end = now + length; now < end; now += 40 * ms) {
      monitor.arrives(now);
      EXPECT_FALSE(monitor.poll(now));
    }
  }
  bool pass(Time time, bool is_pacing = false) { return monitor.poll(now += time, is_pacing); }

  Time now = 1000 * second;
  LiveMonitor monitor{{}, now};
};

TEST_F(Monitor, StartsUntilTheFirstFrame) {
  monitor.connection_begins(now);
  EXPECT_FALSE(pass(2 * second));
  EXPECT_EQ(monitor.state(), SourceState::starting);
  monitor.arrives(now);
  EXPECT_EQ(monitor.state(), SourceState::running);
  EXPECT_EQ(monitor.reconnects(), 0u);
}

TEST_F(Monitor, ConnectionThatGivesNothingIsGivenUpOnce) {
  monitor.connection_begins(now);
  EXPECT_FALSE(pass(5900 * ms));
  EXPECT_TRUE(pass(100 * ms));
  EXPECT_FALSE(pass(100 * ms));
  monitor.connection_breaks(now);
  monitor.connection_begins(now);
  EXPECT_TRUE(pass(6 * second));
}

TEST_F(Monitor, IsStalledBehindTheStartTimeout) {
  EXPECT_FALSE(pass(14'900 * ms));
  EXPECT_EQ(monitor.state(), SourceState::starting);
  EXPECT_FALSE(pass(100 * ms));
  EXPECT_EQ(monitor.state(), SourceState::stalled);
  EXPECT_EQ(monitor.seconds_in_state(now), 0);
}

TEST_F(Monitor, InputThatPacesItselfIsNeitherStalledNorGivenUp) {
  monitor.connection_begins(now);
  run_for(second);
  EXPECT_FALSE(pass(60 * second, true));
  EXPECT_EQ(monitor.state(), SourceState::running);
}

TEST_F(Monitor, FindsHalfOpenConnectionsByTheirSilence) {
  monitor.connection_begins(now);
  run_for(second);
  EXPECT_FALSE(pass(2900 * ms));
  EXPECT_EQ(monitor.state(), SourceState::running);
  EXPECT_TRUE(pass(200 * ms));
  EXPECT_EQ(monitor.state(), SourceState::stalled);
  EXPECT_EQ(monitor.fps(now), 0);
}

TEST_F(Monitor, SlowStreamsStallBehindFiveFrames) {
  monitor.connection_begins(now);
  for (int i = 0; i < 20; ++i, now += 2 * second) {
    monitor.arrives(now);
    EXPECT_FALSE(monitor.poll(now));
  }
  EXPECT_EQ(monitor.stall_limit(), 10 * second);
  EXPECT_FALSE(pass(7 * second));
  EXPECT_TRUE(pass(2 * second));
}

TEST_F(Monitor, BrokenConnectionIsStalledAtOnceAndRunsAgain) {
  monitor.connection_begins(now);
  run_for(second);
  monitor.connection_breaks(now);
  EXPECT_EQ(monitor.state(), SourceState::stalled);
  monitor.connection_begins(now);
  monitor.arrives(now);
  EXPECT_EQ(monitor.state(), SourceState::running);
  EXPECT_EQ(monitor.reconnects(), 1u);
}

TEST_F(Monitor, BlockedIsDownstreamsFaultAndNoReasonToReconnect) {
  monitor.connection_begins(now);
  run_for(second);
  monitor.send_begins(now);
  EXPECT_FALSE(pass(900 * ms));
  EXPECT_EQ(monitor.state(), SourceState::running);
  EXPECT_FALSE(pass(200 * ms));
  EXPECT_EQ(monitor.state(), SourceState::blocked);
  EXPECT_FALSE(pass(3600 * second));
  EXPECT_EQ(monitor.state(), SourceState::blocked);
  monitor.send_ends(now);
  EXPECT_FALSE(monitor.poll(now));
  EXPECT_EQ(monitor.state(), SourceState::running);
  EXPECT_NEAR(monitor.blocked_seconds(now), 3601.1, 0.01);
  // From here silence counts again.
  EXPECT_TRUE(pass(4 * second));
  EXPECT_EQ(monitor.state(), SourceState::stalled);
}

TEST_F(Monitor, ConnectionLostWhileBlockedIsStalledAfterwards) {
  monitor.connection_begins(now);
  run_for(second);
  monitor.send_begins(now);
  pass(2 * second);
  monitor.connection_breaks(now);
  EXPECT_EQ(monitor.state(), SourceState::blocked);
  monitor.send_ends(now);
  EXPECT_EQ(monitor.state(), SourceState::stalled);
}

TEST_F(Monitor, EndIsFinal) {
  monitor.connection_begins(now);
  run_for(second);
  monitor.ends(now);
  EXPECT_FALSE(pass(100 * second));
  monitor.arrives(now);
  EXPECT_EQ(monitor.state(), SourceState::ended);
}

TEST_F(Monitor, KnowsTheRate) {
  monitor.connection_begins(now);
  run_for(4 * second);
  EXPECT_NEAR(monitor.fps(now), 25, 0.5);
}

TEST(Backoff, DoublesUpToItsLimitWithAFifthOfJitter) {
  Backoff backoff;
  Time expected = 500 * ms;
  Time least = 60 * second, most = 0;
  for (int i = 0; i < 200; ++i) {
    const Time pause = backoff.next();
    EXPECT_GE(pause, Time(0.8 * double(expected)));
    EXPECT_LE(pause, Time(1.2 * double(expected)));
    expected = std::min(2 * expected, 30 * second);
    if (i > 10) least = std::min(least, pause), most = std::max(most, pause);
  }
  EXPECT_GT(most - least, 5 * second);
  backoff.reset();
  EXPECT_LE(backoff.next(), 600 * ms);
}

}  // namespace
}  // namespace sightglass::adapters
