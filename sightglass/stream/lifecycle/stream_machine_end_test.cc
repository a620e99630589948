// Rows of the table of the life cycle, on a clock that the test moves: L-15 to L-18 and L-22 to L-25: how
// streams end and change hands.
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

// ── L-15 ──

TEST(L15, IdleTimeoutEndsTheStream) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  run.pass(10 * second);
  EXPECT_EQ(run.state(), draining);
  EXPECT_TRUE(run.instance().eos);
  run.end();
  EXPECT_EQ(run.ends(), std::vector{EosReason::idle});
  EXPECT_EQ(run.count(Kind::acknowledge_eos), 0u);
}

TEST(L15, NeverMeansNever) {
  Runner run({.idle_timeout = never});
  Writer writer;
  run.go_live(writer);
  run.pass(86'400 * second);
  EXPECT_EQ(run.state(), idle);
  EXPECT_EQ(run.machine.next_deadline(), never);
}

// ── L-16 ──

TEST(L16, EosIsPushedBehindTheFrames) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  run.has_room = false;
  run.arrive(writer.delta());
  run.arrive(writer.eos());
  EXPECT_EQ(run.state(), live) << "the frame before it waits";
  run.has_room = true;
  run.act([&](Actions&) { run.machine.room(run.machine.instance(), run.now); });
  EXPECT_EQ(run.state(), draining);
  EXPECT_EQ(run.instance().frames.size(), 1u);
  EXPECT_TRUE(run.instance().eos);
}

TEST(L16, DeletedStreamEndsBehindItsQueuedFrames) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  run.has_room = false;
  run.arrive(writer.delta());
  run.arrive(writer.delta());
  EXPECT_TRUE(run.command(Command::end));
  EXPECT_EQ(run.state(), draining);
  EXPECT_FALSE(run.instance().eos);
  run.arrive(writer.delta());  // behind it
  run.has_room = true;
  run.act([&](Actions&) { run.machine.room(run.machine.instance(), run.now); });
  EXPECT_EQ(run.instance().frames.size(), 2u);
  EXPECT_TRUE(run.instance().eos);
  EXPECT_FALSE(run.command(Command::end)) << "it ends already";
  run.results();
  run.end();
  EXPECT_EQ(run.ends(), std::vector{EosReason::end});
  EXPECT_EQ(run.last().reason, DropReason::no_keyframe);
}

TEST(L16, EosEndsAStartingAndASwitchingStream) {
  Runner run;
  Writer writer;
  run.arrive(writer.key());
  run.arrive(writer.eos());
  EXPECT_EQ(run.state(), draining);
  run.end();
  EXPECT_EQ(run.state(), absent);

  ++writer.epoch;
  run.go_live(writer);
  writer.width = 1280;
  run.arrive(writer.key());
  run.arrive(writer.eos());
  EXPECT_EQ(run.state(), draining);
  const uint32_t next = run.machine.instance();
  run.end(run.machine.old_instance());
  EXPECT_EQ(run.state(), draining);
  EXPECT_FALSE(run.instances.at(next).results_held);
  run.end(next);
  EXPECT_EQ(run.state(), absent);
  EXPECT_EQ(run.count(Kind::acknowledge_eos), 1u);
}

TEST(L16, LostEosIsMadeGoodByTheNextEpochOfTheWriter) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  ++writer.epoch;
  writer.seq = 0;
  run.arrive(writer.key());
  EXPECT_EQ(run.state(), draining);
  run.end();
  EXPECT_EQ(run.state(), starting);
  EXPECT_EQ(run.machine.epoch(), 2);
  EXPECT_EQ(run.ends(), std::vector{EosReason::end});
  EXPECT_EQ(run.machine.counts().lost, 0u);
}

// ── L-17 ──

TEST(L17, EosAtTheAppsinkAcknowledgesTheWritersAndReaps) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  const uint32_t instance = run.machine.instance();
  run.arrive(writer.eos());
  EXPECT_EQ(run.count(Kind::acknowledge_eos), 0u);
  run.end();
  EXPECT_EQ(run.state(), absent);
  EXPECT_EQ(run.ends(), std::vector{EosReason::end});
  EXPECT_EQ(run.count(Kind::acknowledge_eos), 1u);
  EXPECT_EQ(run.reaped, std::vector{instance});
  EXPECT_EQ(run.count(Kind::release_slot), 1u);
}

TEST(L17, WaitingKeyframeOpensTheNextEpoch) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  run.pass(10 * second);  // EOS(IDLE) is on its way
  run.arrive(writer.key());
  EXPECT_EQ(run.queue.counts().queued, 1u);
  run.end();
  EXPECT_EQ(run.state(), starting);
  EXPECT_EQ(run.machine.epoch(), 2);
  EXPECT_EQ(run.queue.counts().queued, 0u);
}

// ── L-18 ──

TEST(L18, DrainTimeoutCountsWhatIsUnfinished) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  run.arrive(writer.delta());
  run.arrive(writer.delta());
  run.arrive(writer.eos());
  run.pass(10 * second);
  EXPECT_EQ(run.state(), absent);
  EXPECT_EQ(run.dropped(DropReason::unfinished), 2u);
  EXPECT_EQ(run.ends(), std::vector{EosReason::error});
  EXPECT_EQ(run.count(Kind::acknowledge_eos), 1u) << "settled, or it would come for ever";
  EXPECT_EQ(run.reaped.size(), 1u);
  EXPECT_TRUE(run.machine.counts().balanced());
}

TEST(L18, OldInstanceThatDoesNotDrainIsGivenUp) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  run.arrive(writer.delta());
  writer.width = 320;
  run.arrive(writer.key());
  run.decode();
  run.arrive(writer.delta());
  run.pass(10 * second);
  EXPECT_EQ(run.ends(), std::vector{EosReason::error});
  EXPECT_EQ(run.dropped(DropReason::unfinished), 1u);
  EXPECT_EQ(run.machine.old_instance(), 0u);
  EXPECT_EQ(run.count(Kind::release_results), 1u);
  EXPECT_TRUE(run.state() == live || run.state() == idle);
}

// ── L-22 ──

TEST(L22, SecondWriterTakesOverAtItsKeyframeWhenTheFirstIsSilent) {
  Runner run({.on_conflict = OnConflict::oldest});
  Writer first, other{.producer = uuid_of(2, 0x05)};
  run.go_live(first);
  run.pass(1500 * millisecond);
  run.arrive(other.key());
  EXPECT_EQ(run.last().reason, DropReason::fenced);
  run.pass(500 * millisecond);
  run.arrive(other.delta());
  EXPECT_EQ(run.last().reason, DropReason::fenced);
  run.arrive(other.key());
  EXPECT_EQ(run.state(), switching);
  EXPECT_EQ(run.count(Kind::takeover), 1u);
  EXPECT_EQ(run.machine.writer(), other.producer);
  EXPECT_EQ(run.instance().frames.size(), 1u);
  run.arrive(first.key());
  EXPECT_EQ(run.last().reason, DropReason::fenced);
}

TEST(L22, NewestIsTheProcessThatStartedLast) {
  Runner run;
  Writer first, younger{.producer = uuid_of(2, 0x20)}, older{.producer = uuid_of(3, 0x05)};
  run.go_live(first);
  run.arrive(older.key());
  EXPECT_EQ(run.last().reason, DropReason::fenced);
  run.arrive(younger.key());
  EXPECT_EQ(run.state(), switching);
  run.decode();
  run.end(run.machine.old_instance());
  ASSERT_EQ(run.state(), live);
  for (int i = 0; i < 30; ++i) {  // the loser goes on: nothing flaps
    run.pass(second);
    run.arrive(younger.key());
    run.arrive(first.key());
    EXPECT_EQ(run.last().reason, DropReason::fenced);
  }
  EXPECT_EQ(run.count(Kind::takeover), 1u);
  EXPECT_EQ(run.dropped(DropReason::fenced), 31u);
}

TEST(L22, OldestAndRejectKeepTheFirst) {
  for (const OnConflict conflict : {OnConflict::oldest, OnConflict::reject}) {
    Runner run({.on_conflict = conflict});
    Writer first, other{.producer = uuid_of(2, 0x20)};
    run.go_live(first);
    run.arrive(other.key());
    EXPECT_EQ(run.last().reason, DropReason::fenced);
    EXPECT_EQ(run.last().answer,
              conflict == OnConflict::reject ? Verdict::Answer::refuse : Verdict::Answer::acknowledge);
    EXPECT_EQ(run.state(), live);
  }
}

TEST(L22, OneTakeoverInTenSecondsWhileTheFirstStillSends) {
  Runner run;
  Writer first, other{.producer = uuid_of(2, 0x20)}, third{.producer = uuid_of(3, 0x30)};
  run.go_live(first);
  run.arrive(other.key());
  run.decode();
  run.end(run.machine.old_instance());
  run.pass(4 * second);
  run.arrive(other.key());
  run.arrive(third.key());
  EXPECT_EQ(run.last().reason, DropReason::fenced);
  run.pass(6 * second);
  run.arrive(other.key());
  run.arrive(third.key());
  EXPECT_EQ(run.state(), switching);
  EXPECT_EQ(run.count(Kind::takeover), 2u);
}

TEST(L22, RestartedWriterIsHeardAtOnceWhenTheOldOneIsGone) {
  Runner run;
  Writer first;
  run.go_live(first);
  for (uint8_t life = 1; life <= 5; ++life) {  // restarts every second
    run.pass(second);
    Writer again{.producer = uuid_of(10u + life, uint8_t(0x20 + life))};
    run.arrive(again.key());
    EXPECT_EQ(run.state(), switching) << int(life);
    run.decode();
    run.end(run.machine.old_instance());
    EXPECT_EQ(run.state(), live);
  }
}

TEST(L22, TakeoverWhileStartingOpensTheNextEpoch) {
  Runner run;
  Writer first, other{.producer = uuid_of(2, 0x20)};
  run.arrive(first.key());
  run.arrive(other.key());
  EXPECT_EQ(run.state(), draining);
  run.end();
  EXPECT_EQ(run.state(), starting);
  EXPECT_EQ(run.machine.writer(), other.producer);
  EXPECT_EQ(run.instance().frames.size(), 1u);
}

TEST(L22, UserDataOfOthersIsWelcome) {
  Runner run;
  Writer first, sensor{.producer = uuid_of(2, 0x20)};
  run.go_live(first);
  run.arrive(sensor.other(MessageKind::user_data));
  EXPECT_EQ(run.last().kind, Verdict::Kind::push);
  run.arrive(sensor.eos());
  EXPECT_EQ(run.last().reason, DropReason::fenced);
  run.arrive(first.delta());
  EXPECT_EQ(run.last().kind, Verdict::Kind::push);
  EXPECT_EQ(run.machine.counts().lost, 0u);
}

// ── L-23 ──

TEST(L23, InstanceThatDoesNotStopIsSetAsideAndTheStreamGoesOn) {
  Runner run;
  Writer writer;
  run.tears_down = false;
  run.go_live(writer);
  const uint32_t stuck = run.machine.instance();
  run.arrive(writer.eos());
  run.end();
  ++writer.epoch;
  run.go_live(writer);
  run.pass(5 * second);
  ASSERT_EQ(run.count(Kind::set_aside), 1u);
  EXPECT_EQ(run.find(Kind::set_aside)->instance, stuck);
  EXPECT_EQ(run.machine.epoch(), 2);
  run.act([&](Actions& actions) { run.machine.torn_down(stuck, run.now, actions); });
  EXPECT_EQ(run.count(Kind::not_stuck), 1u);
  run.act([&](Actions& actions) { run.machine.torn_down(stuck, run.now, actions); });
  EXPECT_EQ(run.count(Kind::not_stuck), 1u);
}

TEST(L23, AnyNumberMayBeOnItsWayOutAndNoneIsGivenUpEarly) {
  Runner run;
  Writer writer;
  run.tears_down = false;
  std::vector<uint32_t> ended;
  for (int i = 0; i < 20; ++i) {
    run.go_live(writer);
    EXPECT_EQ(run.count(Kind::set_aside), 0u);
    ended.push_back(run.machine.instance());
    run.arrive(writer.eos());
    run.end();
    ++writer.epoch;
  }
  run.log.clear();
  run.pass(5 * second);
  EXPECT_EQ(run.count(Kind::set_aside), 20u);
  // Each is taken back when it stops after all.
  for (const uint32_t each : ended)
    run.act([&](Actions& actions) { run.machine.torn_down(each, run.now, actions); });
  EXPECT_EQ(run.count(Kind::not_stuck), 20u);
}

TEST(L23, EventsOfReapedInstancesAreIgnored) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  run.fail(Fault::decoder);
  const auto counts = run.machine.counts();
  run.log.clear();
  run.fail(Fault::decoder, "again", 1);
  run.end(1);
  run.act([&](Actions& actions) {
    run.machine.first_decoded(1, run.now, actions);
    run.machine.built(1, run.now, actions);
    run.machine.frame_error(1, run.now, actions);
    run.machine.result(1, StreamMachine::Outcome::stored, run.now);
    run.machine.result(0, StreamMachine::Outcome::stored, run.now);
    run.machine.ended(0, run.now, actions);
  });
  EXPECT_TRUE(run.log.empty());
  EXPECT_EQ(run.machine.counts().in_sinks, counts.in_sinks);
  EXPECT_EQ(run.machine.last_error(), "broken");
}

// ── L-24 ──

TEST(L24, DrainEndsEveryStreamBehindItsQueuedFrames) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  run.has_room = false;
  run.arrive(writer.delta());
  EXPECT_TRUE(run.command(Command::drain));
  run.has_room = true;
  run.act([&](Actions&) { run.machine.room(run.machine.instance(), run.now); });
  EXPECT_EQ(run.state(), draining);
  EXPECT_EQ(run.instance().frames.size(), 1u);
  EXPECT_EQ(run.count(Kind::drained), 0u);
  run.arrive(writer.key());
  EXPECT_EQ(run.last().reason, DropReason::draining);
  EXPECT_EQ(run.last().answer, Verdict::Answer::refuse_retry);
  run.results();
  run.end();
  EXPECT_EQ(run.ends(), std::vector{EosReason::drain});
  EXPECT_EQ(run.count(Kind::drained), 1u);
  run.arrive(writer.key());
  EXPECT_EQ(run.state(), absent) << "no new streams";
  EXPECT_EQ(run.last().reason, DropReason::draining);
}

TEST(L24, StreamsWithoutAnInstanceAreDrainedAtOnce) {
  Writer writer;
  Runner unknown;
  EXPECT_TRUE(unknown.command(Command::drain));
  EXPECT_EQ(unknown.count(Kind::drained), 1u);
  Runner waiting;
  waiting.place = Runner::Place::pending;
  waiting.arrive(writer.key());
  EXPECT_TRUE(waiting.command(Command::drain));
  EXPECT_EQ(waiting.count(Kind::drained), 1u);
  EXPECT_EQ(waiting.count(Kind::release_slot), 1u);
}

TEST(L24, DrainOfAnIdleStreamThatEndsAlreadyIsTold) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  run.arrive(writer.eos());
  EXPECT_TRUE(run.command(Command::drain));
  run.end();
  EXPECT_EQ(run.count(Kind::drained), 1u);
  EXPECT_EQ(run.ends(), std::vector{EosReason::end});
}

// ── L-25 ──

TEST(L25, RevokedPartitionDrainsWithoutEosToTheSinks) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  run.arrive(writer.delta());
  EXPECT_TRUE(run.command(Command::revoke));
  EXPECT_EQ(run.state(), draining);
  run.results();
  run.end();
  EXPECT_EQ(run.state(), absent);
  EXPECT_TRUE(run.ends().empty());
  EXPECT_EQ(run.count(Kind::drained), 1u);
  EXPECT_EQ(run.forgotten, 1u);
  EXPECT_EQ(run.machine.counts().stored, 2u);
}

TEST(L25, WritersEosThatWasTakenReachesTheSinks) {
  for (const bool is_first : {true, false}) {
    Runner run;
    Writer writer;
    run.go_live(writer);
    if (is_first) run.arrive(writer.eos());
    run.command(Command::revoke);
    if (!is_first) run.arrive(writer.eos());
    run.end();
    EXPECT_EQ(run.state(), absent);
    EXPECT_EQ(run.count(Kind::acknowledge_eos), 1u) << is_first;
    EXPECT_EQ(run.ends(), std::vector{EosReason::end}) << is_first;
  }
  Runner lost;
  Writer writer;
  lost.go_live(writer);
  lost.arrive(writer.eos());
  lost.command(Command::abandon);
  EXPECT_TRUE(lost.ends().empty());
  EXPECT_EQ(lost.count(Kind::acknowledge_eos), 1u);
}

TEST(L25, RevocationHasItsOwnTimeout) {
  Runner run({.drain_timeout = 60 * second, .revoke_timeout = 10 * second});
  Writer writer;
  run.go_live(writer);
  run.arrive(writer.delta());
  run.command(Command::revoke);
  run.pass(10 * second);
  EXPECT_EQ(run.state(), absent);
  EXPECT_TRUE(run.ends().empty());
  EXPECT_EQ(run.dropped(DropReason::unfinished), 1u);
}

TEST(L25, LostPartitionStopsAtOnce) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  run.arrive(writer.delta());
  run.command(Command::abandon);
  EXPECT_EQ(run.state(), absent);
  EXPECT_TRUE(run.ends().empty());
  EXPECT_EQ(run.dropped(DropReason::unfinished), 1u);
  EXPECT_EQ(run.count(Kind::drained), 1u);
}

TEST(L25, PartitionThatComesBackStartsAsNew) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  run.command(Command::revoke);
  run.end();
  writer.seq += 1000;  // another module had it
  run.arrive(writer.key());
  EXPECT_EQ(run.state(), starting);
  EXPECT_EQ(run.machine.counts().lost, 0u);
}

}  // namespace
}  // namespace sightglass::stream
