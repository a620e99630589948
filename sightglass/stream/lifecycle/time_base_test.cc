#include "sightglass/stream/lifecycle/time_base.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "sightglass/stream/lifecycle/stream_rules.h"

namespace sightglass::stream {
namespace {

constexpr int64_t most = std::numeric_limits<int64_t>::max(), least = std::numeric_limits<int64_t>::min();

TEST(Rescale, RoundsToTheNearestNanosecond) {
  EXPECT_EQ(rescale(90'000, {1, 90'000}), second);
  EXPECT_EQ(rescale(1, {1, 3}), 333'333'333);
  EXPECT_EQ(rescale(2, {1, 3}), 666'666'667);
  EXPECT_EQ(rescale(-1, {1, 3}), -333'333'333);
  EXPECT_EQ(rescale(5, {1001, 30'000}), 166'833'333);
}

TEST(Rescale, RefusesWhatCannotBeExpressed) {
  EXPECT_EQ(rescale(most, {1, 1'000'000'000}), most);
  EXPECT_EQ(rescale(least, {1, 1'000'000'000}), least);
  EXPECT_EQ(rescale(most, {1, 999'999'999}), std::nullopt);
  EXPECT_EQ(rescale(most, {std::numeric_limits<int>::max(), 1}), std::nullopt);
  EXPECT_EQ(rescale(1, {0, 1}), std::nullopt);
  EXPECT_EQ(rescale(1, {1, 0}), std::nullopt);
  EXPECT_EQ(rescale(1, {-1, 25}), std::nullopt);
}

TEST(Latency, IsNeverNegative) {
  EXPECT_EQ(latency(1000, 3500), 2'500'000);
  EXPECT_EQ(latency(3500, 1000), 0);  // a clock in the future
  EXPECT_EQ(latency(0, most), most);
  EXPECT_EQ(latency(least, most), most);
}

// Times in ms.
class Clock {
 public:
  TimeBase::Jump at(int64_t pts, bool keyframe = true, bool reorders = false,
                    std::optional<int64_t> dts = {}) {
    const auto mapping = clock_.map({.pts = pts,
                                     .dts = dts,
                                     .base = {1, 1000},
                                     .frame_rate = {25, 1},
                                     .keyframe = keyframe,
                                     .reorders = reorders},
                                    60 * second);
    EXPECT_TRUE(mapping.is_valid);
    internal = mapping.internal;
    clock_.commit(mapping);
    return mapping.jump;
  }
  Time ms() const { return internal / millisecond; }
  Time internal = 0;

 private:
  TimeBase clock_;
};

using enum TimeBase::Jump;

TEST(L10TimeBase, StartsAtZeroWhereverTheSourceStands) {
  for (const int64_t start : {int64_t(0), int64_t(-5'000'000), int64_t(1'700'000'000'000)}) {
    Clock clock;
    EXPECT_EQ(clock.at(start), none);
    EXPECT_EQ(clock.ms(), 0);
    EXPECT_EQ(clock.at(start + 40), none);
    EXPECT_EQ(clock.ms(), 40);
  }
}

TEST(L10TimeBase, GrowsByOneFrameOverEveryJump) {
  Clock clock;
  Time last = -1;
  for (int round = 0; round < 100; ++round)
    for (int i = 0; i < 50; ++i) {
      const auto jump = clock.at(i * 40);
      EXPECT_EQ(jump, round > 0 && i == 0 ? back : none);
      if (last >= 0) {
        EXPECT_EQ(clock.internal, last + 40 * millisecond);
      }
      last = clock.internal;
    }
}

TEST(L10TimeBase, PauseIsNoJumpUpToTheLimit) {
  Clock clock;
  clock.at(0);
  EXPECT_EQ(clock.at(60'000), none);
  EXPECT_EQ(clock.ms(), 60'000);
  EXPECT_EQ(clock.at(120'001), ahead);
  EXPECT_EQ(clock.ms(), 60'040);
}

TEST(L10TimeBase, ReorderedPicturesDoNotGoBack) {
  Clock clock;
  // I P B B P B B I(open) B B, by pts alone
  for (const int64_t pts : {0, 120, 40, 80, 240, 160, 200})
    EXPECT_EQ(clock.at(pts, pts == 0, true), none) << pts;
  EXPECT_EQ(clock.at(360, true, true), none);
  EXPECT_EQ(clock.at(280, false, true), none);
  EXPECT_EQ(clock.ms(), 280);
  EXPECT_EQ(clock.at(320, false, true), none);
  EXPECT_EQ(clock.at(200, false, true), back) << "shown before the last keyframe's leading pictures";
}

TEST(L10TimeBase, KeyframeBehindWhatWasShownGoesBack) {
  Clock clock;
  clock.at(0, true, true);
  clock.at(120, false, true);
  clock.at(40, false, true);
  EXPECT_EQ(clock.at(80, true, true), back);
  EXPECT_EQ(clock.ms(), 160);
}

TEST(L10TimeBase, DecodeTimesDecideWhereTheyAreKnown) {
  Clock clock;
  clock.at(80, true, true, 0);
  EXPECT_EQ(clock.at(200, false, true, 40), none);
  EXPECT_EQ(clock.at(120, false, true, 80), none);
  EXPECT_EQ(clock.at(160, false, true, 40), back);
}

TEST(W05TimeBase, DecodeTimeBehindItsPtsCountsAsAbsent) {
  Clock clock;
  clock.at(0, true, false, 0);
  EXPECT_EQ(clock.at(40, true, false, 5'000'000), none);
  EXPECT_EQ(clock.at(80, true, false, 80), none);
}

TEST(L10TimeBase, EqualTimesAreMovedApart) {
  Clock clock;
  clock.at(0);
  clock.at(40);
  EXPECT_EQ(clock.at(40), none);
  EXPECT_EQ(clock.internal, 40 * millisecond + 1);
  EXPECT_EQ(clock.at(40), none);
  EXPECT_EQ(clock.internal, 40 * millisecond + 2);
}

TEST(L10TimeBase, ExtremesOfTheSourceAreJumpsOrInvalidButNeverOverflow) {
  TimeBase clock;
  const auto map = [&](int64_t pts) { return clock.map({.pts = pts, .keyframe = true}, 60 * second); };
  EXPECT_FALSE(map(least).is_valid);
  clock.commit(map(most));
  EXPECT_FALSE(map(-most).is_valid) << "too far from where the clock stands";
  const auto wrapped = map(-most / 4);
  EXPECT_EQ(wrapped.jump, back);
  ASSERT_TRUE(wrapped.is_valid);
  clock.commit(wrapped);
  EXPECT_EQ(clock.last(), 40 * millisecond);
  const auto again = map(most);
  EXPECT_EQ(again.jump, ahead);
  ASSERT_TRUE(again.is_valid);
  clock.commit(again);
  EXPECT_EQ(clock.last(), 80 * millisecond);
}

}  // namespace
}  // namespace sightglass::stream
