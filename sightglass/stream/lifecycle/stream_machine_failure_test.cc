// Rows of the table of the life cycle, on a clock that the test moves: L-19 to L-21: how streams fail, are
// tried again, and are given up.
#include "sightglass/stream/lifecycle/stream_machine.h"

#include <gtest/gtest.h>

#include "sightglass/stream/lifecycle/machine_test_support.h"

namespace sightglass::stream {
namespace {

using enum LifeState;
using Command = StreamMachine::Command;
using Fault = StreamMachine::Fault;
using Kind = Action::Kind;
using Notice = Action::Notice;

// ── L-19 ──

TEST(L19, ErrorQuarantinesTheStream) {
  for (const Fault fault : {Fault::decoder, Fault::parser, Fault::element}) {
    Runner run;
    Writer writer;
    run.go_live(writer);
    run.arrive(writer.delta());
    run.fail(fault, "h264parse: broken");
    EXPECT_EQ(run.state(), quarantined);
    EXPECT_EQ(run.ends(), std::vector{EosReason::error});
    EXPECT_EQ(run.machine.last_error(), "h264parse: broken");
    EXPECT_EQ(run.dropped(DropReason::failed), 1u);
    EXPECT_EQ(run.reaped.size(), 1u);
    EXPECT_EQ(run.count(Kind::release_slot), 1u);
    EXPECT_TRUE(run.notified(Notice::quarantined));
    run.arrive(writer.key());
    EXPECT_EQ(run.last().reason, DropReason::quarantined);
    EXPECT_EQ(run.last().answer, Verdict::Answer::refuse_retry);
  }
}

TEST(L19, FrameErrorsAreSurvivedUpToTheirLimit) {
  Runner run({.max_frame_errors = 3, .frame_error_window = 10 * second});
  Writer writer;
  run.go_live(writer);
  const auto error = [&] {
    run.act([&](Actions& actions) { run.machine.frame_error(run.machine.instance(), run.now, actions); });
  };
  for (int i = 0; i < 3; ++i) error();
  run.arrive(writer.delta());
  run.pass(5 * second);
  run.arrive(writer.delta());
  run.pass(5 * second);
  run.arrive(writer.delta());
  for (int i = 0; i < 3; ++i) error();  // the first ones do not count any more
  EXPECT_EQ(run.state(), live);
  error();
  EXPECT_EQ(run.state(), quarantined);
}

TEST(L19, OperatorMayQuarantine) {
  Runner run;
  Writer writer;
  EXPECT_FALSE(run.command(Command::quarantine));
  run.go_live(writer);
  EXPECT_TRUE(run.command(Command::quarantine));
  EXPECT_EQ(run.state(), quarantined);
}

TEST(L19, ErrorWhileDrainingOrSwitchingLeavesNothingBehind) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  writer.width = 320;
  run.arrive(writer.key());
  run.decode();
  run.fail(Fault::element);
  EXPECT_EQ(run.state(), quarantined);
  EXPECT_TRUE(run.instances.empty());
  EXPECT_EQ(run.ends().size(), 2u);

  Runner other;
  Writer second_writer;
  other.go_live(second_writer);
  other.arrive(second_writer.eos());
  other.fail(Fault::decoder);
  EXPECT_EQ(other.state(), quarantined);
  EXPECT_EQ(other.count(Kind::acknowledge_eos), 1u);
}

TEST(L19, ErrorOfTheOldInstanceAloneDoesNotHarmTheNewOne) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  writer.width = 320;
  run.arrive(writer.key());
  run.decode();
  run.fail(Fault::decoder, "broken", run.machine.old_instance());
  EXPECT_EQ(run.state(), live);
}

TEST(L19, BackOffDoublesWithJitterAndHasALimit) {
  Runner run({.max_failures = 100, .failure_window = 86'400 * second});
  Writer writer;
  for (int i = 0; i < 12; ++i) {
    run.arrive(writer.key());
    ASSERT_EQ(run.state(), starting) << i;
    run.fail(Fault::element);
    ASSERT_EQ(run.state(), quarantined);
    const Time wait = run.machine.retry_at() - run.now;
    const Time expected = std::min<Time>(60 * second, second << i);
    EXPECT_GE(wait, expected * 8 / 10) << i;
    EXPECT_LE(wait, std::min<Time>(60 * second, expected * 12 / 10)) << i;
    run.pass(wait);
  }
}

// ── L-20 ──

TEST(L20, QuarantinedStreamIsTriedAgainAtAKeyframeAfterItsBackOff) {
  Runner run({.jitter = 0});
  Writer writer;
  run.go_live(writer);
  run.fail(Fault::decoder);
  run.pass(second - 1);
  run.arrive(writer.key());
  EXPECT_EQ(run.state(), quarantined);
  run.pass(1);
  run.arrive(writer.delta());
  EXPECT_EQ(run.state(), quarantined);
  run.arrive(writer.key());
  EXPECT_EQ(run.state(), starting);
  EXPECT_EQ(run.machine.failures(), 1u);
}

TEST(L20, FailuresAreForgottenAfterHealthyTime) {
  for (const Time healthy : {Time(29 * second), Time(30 * second)}) {
    Runner run({.idle_timeout = never, .jitter = 0});
    Writer writer;
    for (int i = 0; i < 3; ++i) {
      run.arrive(writer.key());
      run.fail(Fault::element);
      run.pass(10 * second);
    }
    run.arrive(writer.key());
    run.decode();
    run.pass(healthy);
    run.fail(Fault::element);
    EXPECT_EQ(run.machine.failures(), healthy < 30 * second ? 4u : 1u);
  }
}

TEST(L20, QuarantinedSourceThatStaysAwayIsForgotten) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  run.fail(Fault::decoder);
  run.pass(330 * second);
  EXPECT_EQ(run.state(), absent);
  EXPECT_EQ(run.machine.failures(), 0u);
}

// ── L-21 ──

void fail_until_blacklisted(Runner& run, Writer& writer) {
  for (int i = 0; i < 6; ++i) {
    run.arrive(writer.key());
    run.fail(Fault::element);
    run.pass(run.state() == quarantined ? run.machine.retry_at() - run.now : 0);
  }
}

TEST(L21, TooManyFailuresBlacklistForALongerTimeAtEachRepeat) {
  Runner run;
  Writer writer;
  for (const Time ttl : {60 * second, 120 * second, 240 * second}) {
    run.log.clear();
    fail_until_blacklisted(run, writer);
    ASSERT_EQ(run.state(), blacklisted);
    ASSERT_NE(run.find(Kind::blacklist), nullptr);
    EXPECT_EQ(run.find(Kind::blacklist)->deadline, run.now + ttl);
    run.arrive(writer.key());
    EXPECT_EQ(run.last().reason, DropReason::blacklisted);
    EXPECT_EQ(run.last().answer, Verdict::Answer::refuse);
    run.log.clear();
    run.pass(ttl);
    EXPECT_EQ(run.state(), absent);
    EXPECT_EQ(run.find(Kind::blacklist)->deadline, 0);
    EXPECT_EQ(run.machine.failures(), 0u);
  }
}

TEST(L21, TimeOnTheBlacklistHasALimit) {
  Runner run;
  Writer writer;
  for (int i = 0; i < 10; ++i) {
    run.log.clear();
    fail_until_blacklisted(run, writer);
    ASSERT_EQ(run.state(), blacklisted);
    run.pass(std::min<Time>(3600 * second, (60 * second) << i));
    ASSERT_EQ(run.state(), absent);
  }
}

TEST(L21, ReleaseForgetsTheFailures) {
  Runner run;
  Writer writer;
  EXPECT_FALSE(run.command(Command::release));
  fail_until_blacklisted(run, writer);
  EXPECT_TRUE(run.command(Command::release));
  EXPECT_EQ(run.state(), absent);
  EXPECT_EQ(run.find(Kind::blacklist)->kind, Kind::blacklist);
  run.arrive(writer.key());
  EXPECT_EQ(run.state(), starting);
  run.fail(Fault::element);
  EXPECT_EQ(run.machine.failures(), 1u);
  EXPECT_TRUE(run.command(Command::release));
  EXPECT_EQ(run.machine.failures(), 0u);
}

TEST(L21, OldFailuresDoNotCount) {
  Runner run({.failure_window = 300 * second});
  Writer writer;
  for (int i = 0; i < 12; ++i) {
    run.arrive(writer.key());
    run.fail(Fault::element);
    ASSERT_EQ(run.state(), quarantined) << i;
    run.pass(61 * second);
  }
}

}  // namespace
}  // namespace sightglass::stream
