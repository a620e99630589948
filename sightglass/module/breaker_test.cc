#include "sightglass/module/breaker.h"

#include <gtest/gtest.h>

namespace sightglass::module {
namespace {

constexpr Time second = 1'000'000'000;

class BreakerTest : public testing::Test {
 protected:
  // Fails `count` times in a row.
  bool fail(unsigned count, Breaker::Kind kind = Breaker::Kind::error) {
    bool opened = false;
    for (; count > 0; --count) opened = breaker.failed(a, kind, now++);
    return opened;
  }
  Breaker breaker{{.failures = 20, .window = 10 * second, .pause = 30 * second}};
  Breaker::Gate a, b;
  Time now = 1000 * second;
};

TEST_F(BreakerTest, OpensAtTheTwentiethFailureOfTheWindow) {
  EXPECT_FALSE(fail(19));
  EXPECT_TRUE(breaker.may_run(a, now));
  EXPECT_TRUE(fail(1));
  EXPECT_TRUE(breaker.is_open());
  EXPECT_FALSE(breaker.may_run(a, now));
  EXPECT_FALSE(breaker.may_run(b, now)) << "it opens for every stream";
}

TEST_F(BreakerTest, ForgetsFailuresOutsideOfTheWindow) {
  fail(19);
  now += 10 * second;
  EXPECT_FALSE(fail(19));
  EXPECT_TRUE(fail(1));
}

TEST_F(BreakerTest, CountsFailuresOfAllStreamsTogether) {
  for (int i = 0; i < 19; ++i) EXPECT_FALSE(breaker.failed(i % 2 ? a : b, Breaker::Kind::error, now));
  EXPECT_TRUE(breaker.failed(b, Breaker::Kind::error, now));
}

TEST_F(BreakerTest, TriesOneFramePerStreamAfterThePause) {
  fail(20);
  now += 30 * second - 2;
  EXPECT_FALSE(breaker.may_run(a, now));
  now += 2;
  ASSERT_TRUE(breaker.may_run(a, now));
  ASSERT_TRUE(breaker.may_run(b, now));
  breaker.failed(a, Breaker::Kind::error, now);
  breaker.succeeded(b);
  EXPECT_FALSE(breaker.is_open());
  EXPECT_FALSE(breaker.may_run(a, now + 1)) << "it has had its try";
  EXPECT_TRUE(breaker.may_run(b, now + 1));
  EXPECT_TRUE(breaker.may_run(a, now + 30 * second));
}

TEST_F(BreakerTest, IsNotOpenedAgainByTries) {
  fail(20);
  now += 30 * second;
  breaker.succeeded(b);
  for (int i = 0; i < 40; ++i) EXPECT_FALSE(breaker.failed(a, Breaker::Kind::error, now));
  EXPECT_TRUE(breaker.may_run(b, now));
}

TEST_F(BreakerTest, TriesNewStreamsToo) {
  fail(20);
  now += 30 * second;
  Breaker::Gate late;
  EXPECT_TRUE(breaker.may_run(late, now));
  breaker.failed(late, Breaker::Kind::error, now);
  EXPECT_FALSE(breaker.may_run(late, now));
}

TEST_F(BreakerTest, OpensAtTheFifthCrashOfAMinute) {
  for (int i = 0; i < 4; ++i) {
    EXPECT_FALSE(fail(1, Breaker::Kind::crash));
    now += 11 * second;
  }
  EXPECT_TRUE(fail(1, Breaker::Kind::crash));
}

}  // namespace
}  // namespace sightglass::module
