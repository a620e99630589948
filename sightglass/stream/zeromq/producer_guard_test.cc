#include "sightglass/stream/zeromq/producer_guard.h"

#include <gtest/gtest.h>

#include "sightglass/stream/zeromq/shutdown_guard.h"

namespace sightglass::stream {
namespace {

using namespace std::chrono_literals;

TEST(ProducerGuard, MutesAfterAHundredRejectionsInTenSeconds) {
  ProducerGuard guard;
  ProducerGuard::Time now{1h};
  for (int i = 0; i < 99; ++i) EXPECT_FALSE(guard.rejected("p", now += 100ms));
  EXPECT_FALSE(guard.muted("p", now));
  EXPECT_TRUE(guard.rejected("p", now));
  EXPECT_TRUE(guard.muted("p", now + 9s));
  EXPECT_FALSE(guard.muted("other", now));
  EXPECT_FALSE(guard.muted("p", now + 10s));
}

TEST(ProducerGuard, SlowRejectionsDoNotMute) {
  ProducerGuard guard;
  ProducerGuard::Time now{1h};
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(guard.rejected("p", now += 102ms));
}

TEST(ProducerGuard, MutesForLongerEachTimeUpToTenMinutes) {
  ProducerGuard guard;
  ProducerGuard::Time now{1h};
  const auto offend = [&] {
    for (int i = 0; i < 100; ++i) guard.rejected("p", now);
    auto length = 0s;
    while (guard.muted("p", now + length)) length += 1s;
    now += length;
    return length;
  };
  EXPECT_EQ(offend(), 10s);
  EXPECT_EQ(offend(), 20s);
  EXPECT_EQ(offend(), 40s);
  for (int i = 0; i < 6; ++i) offend();
  EXPECT_EQ(offend(), 600s);
  now += 11min;
  EXPECT_EQ(offend(), 10s);
}

TEST(ProducerGuard, ForgetsTheLongestSilentOne) {
  ProducerGuard guard(2);
  ProducerGuard::Time now{1h};
  for (int i = 0; i < 100; ++i) guard.rejected("p", now);
  guard.rejected("q", now);
  EXPECT_TRUE(guard.muted("p", now));
  guard.rejected("r", now);
  EXPECT_TRUE(guard.muted("p", now));
  guard.rejected("s", now), guard.rejected("t", now);
  EXPECT_FALSE(guard.muted("p", now));
}

TEST(W13, NewSourceIdsAreRationed) {
  SourceGate gate({.per_second = 10, .burst = 64, .remembered = 1000});
  SourceGate::Time now{1h};
  int admitted = 0;
  for (int i = 0; i < 500; ++i) admitted += gate.admit(std::to_string(i), now);
  EXPECT_EQ(admitted, 64);
  EXPECT_TRUE(gate.admit("5", now));  // known
  EXPECT_FALSE(gate.admit("400", now));
  now += 100ms;
  EXPECT_TRUE(gate.admit("400", now));
  EXPECT_FALSE(gate.admit("401", now));
  now += 1h;
  admitted = 0;
  for (int i = 1000; i < 1500; ++i) admitted += gate.admit(std::to_string(i), now);
  EXPECT_EQ(admitted, 64);
}

TEST(W14, WrongTokensAreIgnoredAndFiveAMinuteMuteControl) {
  ShutdownGuard guard("open sesame");
  ShutdownGuard::Time now{1h};
  EXPECT_TRUE(guard.accept("open sesame", true, now));
  EXPECT_FALSE(guard.accept("open sesame", false, now));  // over plain tcp
  for (const char* wrong : {"", "open sesam", "open sesame!", "OPEN SESAME"}) {
    EXPECT_FALSE(guard.accept(wrong, true, now += 10s)) << wrong;
  }
  EXPECT_TRUE(guard.accept("open sesame", true, now));
  EXPECT_FALSE(guard.accept("fifth", true, now));
  EXPECT_FALSE(guard.accept("open sesame", true, now + 59s));
  EXPECT_TRUE(guard.accept("open sesame", true, now + 60s));
  EXPECT_FALSE(ShutdownGuard("").accept("", true, now));
}

TEST(ShutdownGuard, SlowMistakesDoNotMute) {
  ShutdownGuard guard("x");
  ShutdownGuard::Time now{1h};
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(guard.accept("y", true, now += 16s));
  EXPECT_TRUE(guard.accept("x", true, now));
}

}  // namespace
}  // namespace sightglass::stream
