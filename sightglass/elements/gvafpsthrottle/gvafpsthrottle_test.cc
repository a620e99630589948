#include "sightglass/elements/gvafpsthrottle/gvafpsthrottle.h"

#include <gtest/gtest.h>

#include <future>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

TEST(FramePacer, FramesPassAPeriodApart) {
  FramePacer pacer(1e9 / 100);  // a period of 100 ns
  EXPECT_EQ(pacer.pass_at(1000), 1000);
  EXPECT_EQ(pacer.pass_at(1001), 1100);
  EXPECT_EQ(pacer.pass_at(1101), 1200);
}

TEST(FramePacer, ALateFrameIsMadeUpForByOneAtMost) {
  FramePacer pacer(1e9 / 100);
  EXPECT_EQ(pacer.pass_at(1000), 1000);
  EXPECT_EQ(pacer.pass_at(1130), 1130);  // 30 late: the next may come 30 earlier
  EXPECT_EQ(pacer.pass_at(1131), 1200);
  EXPECT_EQ(pacer.pass_at(9000), 9000);
  EXPECT_EQ(pacer.pass_at(9001), 9001);
  EXPECT_EQ(pacer.pass_at(9002), 9100);
}

TEST(FramePacer, NoLimitNeverHolds) {
  FramePacer pacer(0);
  for (Time t = 0; t < 5; ++t) EXPECT_EQ(pacer.pass_at(t), t);
}

TEST(GvaFpsThrottle, CancelWakesAFrameThatWaitsAndFlushMakesReadyAgain) {
  auto element = test::make<TransformInplace>("gvafpsthrottle", {{"target-fps", "0.00001"}});  // a day
  Frame frame;
  ASSERT_EQ(element->process(frame).value(), Verdict::pass);
  for (int round = 0; round < 3; ++round) {
    auto held = std::async(std::launch::async, [&] {
      Frame second;
      return element->process(second);
    });
    element->cancel();
    const auto verdict = held.get();
    ASSERT_FALSE(verdict);
    EXPECT_EQ(verdict.error().code, ErrorCode::cancelled);
    element->flush();
    EXPECT_TRUE(element->process(frame));
  }
}

TEST(GvaFpsThrottle, WithoutATargetNothingIsHeld) {
  auto element = test::make<TransformInplace>("gvafpsthrottle");
  Frame frame;
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(element->process(frame).value(), Verdict::pass);
}

TEST(GvaFpsThrottle, ANegativeRateIsRefused) {
  EXPECT_THROW(test::make<TransformInplace>("gvafpsthrottle", {{"target-fps", "-1"}}), std::runtime_error);
}

}  // namespace
}  // namespace sightglass
