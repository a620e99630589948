// Rows of the table of the life cycle, on a clock that the test moves: L-07 to L-14 and W-05: what happens
// while frames flow.
#include "sightglass/stream/lifecycle/stream_machine.h"

#include <gtest/gtest.h>

#include <limits>

#include "sightglass/stream/lifecycle/machine_test_support.h"

namespace sightglass::stream {
namespace {

using enum LifeState;
using Command = StreamMachine::Command;
using Kind = Action::Kind;
using Notice = Action::Notice;

// ── L-07 ──

TEST(L07, FramesWaitForTheInstanceAndForRoom) {
  Runner run;
  Writer writer;
  run.builds = false;
  run.arrive(writer.key());
  run.arrive(writer.delta());
  EXPECT_EQ(run.queue.counts().queued, 2u);
  run.act([&](Actions& actions) { run.machine.built(run.machine.instance(), run.now, actions); });
  EXPECT_EQ(run.queue.counts().queued, 0u);
  EXPECT_EQ(run.instance().frames.size(), 2u);

  run.has_room = false;
  run.arrive(writer.delta());
  run.arrive(writer.delta());
  EXPECT_EQ(run.queue.counts().queued, 2u);
  EXPECT_EQ(run.machine.counts().taken, 2u);
  run.has_room = true;
  run.pump();  // nobody said that there is room
  EXPECT_EQ(run.queue.counts().queued, 2u);
  run.act([&](Actions&) { run.machine.room(run.machine.instance(), run.now); });
  EXPECT_EQ(run.queue.counts().queued, 0u);
  EXPECT_EQ(run.instance().frames.size(), 4u);
  EXPECT_EQ(run.machine.counts().lost, 0u);
}

TEST(L07, StreamWithoutRoomIsAnnouncedAsBlockedAndNotTakenForIdle) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  run.has_room = false;
  run.arrive(writer.delta());
  run.pass(20 * second);
  EXPECT_EQ(run.state(), live);
  EXPECT_TRUE(run.notified(Notice::blocked));
  EXPECT_EQ(run.count(Kind::stream_update), 1u);  // once
  run.has_room = true;
  run.act([&](Actions&) { run.machine.room(run.machine.instance(), run.now); });
  EXPECT_TRUE(run.notified(Notice::running));
}

TEST(L07, StreamWhoseResultsFindNoRoomIsBlockedAndNotTakenForIdle) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  const auto hold = [&] { run.act([&](Actions& actions) { run.machine.held(run.now, actions); }); };
  hold();
  run.pass(600 * second);
  EXPECT_EQ(run.state(), live);
  EXPECT_TRUE(run.notified(Notice::blocked));
  run.arrive(writer.delta());
  EXPECT_TRUE(run.notified(Notice::running));
  // It may have fallen silent before something comes that has to wait.
  run.pass(5 * second);
  EXPECT_EQ(run.state(), idle);
  hold();
  EXPECT_EQ(run.state(), live);
}

// ── L-08 ──

TEST(L08, GapOnAnInterCodecDropsUpToTheNextKeyframe) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  writer.delta(), writer.delta();  // lost
  run.arrive(writer.delta());
  EXPECT_EQ(run.last().reason, DropReason::gap);
  run.arrive(writer.delta());
  EXPECT_EQ(run.last().reason, DropReason::gap);
  EXPECT_EQ(run.machine.counts().lost, 2u);
  EXPECT_EQ(run.count(Kind::count_lost), 1u);
  EXPECT_EQ(run.find(Kind::count_lost)->count, 2u);
  EXPECT_EQ(run.count(Kind::request_keyframe), 1u);
  run.arrive(writer.key());
  EXPECT_EQ(run.last().kind, Verdict::Kind::push);
  EXPECT_TRUE(run.last().discontinuity);
  run.arrive(writer.delta());
  EXPECT_EQ(run.last().kind, Verdict::Kind::push);
  EXPECT_FALSE(run.last().discontinuity);
  EXPECT_EQ(run.state(), live);
}

TEST(L08, GapMayBePassedOn) {
  Runner run({.on_gap = OnGap::continue_});
  Writer writer;
  run.go_live(writer);
  writer.delta();
  run.arrive(writer.delta());
  EXPECT_EQ(run.last().kind, Verdict::Kind::push);
  EXPECT_TRUE(run.last().discontinuity);
  EXPECT_EQ(run.machine.counts().lost, 1u);
}

TEST(L08, GapOnAnIntraCodecIsOnlyCounted) {
  Runner run;
  Writer writer{.codec = Codec::jpeg};
  run.go_live(writer);
  writer.key();
  run.arrive(writer.key());
  EXPECT_EQ(run.last().kind, Verdict::Kind::push);
  EXPECT_EQ(run.machine.counts().lost, 1u);
}

TEST(L08, WhatTheQueueDroppedItselfIsNoLossOnTheWay) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  writer.delta(), writer.delta(), writer.delta();
  FrameFacts key = writer.key();
  key.dropped_before = 2;
  run.arrive(key);
  EXPECT_EQ(run.last().kind, Verdict::Kind::push);
  EXPECT_EQ(run.machine.counts().lost, 1u);
}

// ── L-09 ──

TEST(L09, DuplicatesAreDroppedAndAcknowledgedAgain) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  const FrameFacts frame = writer.delta();
  run.arrive(frame);
  run.arrive(frame);
  EXPECT_EQ(run.last().reason, DropReason::duplicate);
  EXPECT_EQ(run.last().answer, Verdict::Answer::acknowledge);
  FrameFacts renumbered = frame;  // the same frame by another way
  renumbered.seq = writer.seq++;
  run.arrive(renumbered);
  EXPECT_EQ(run.last().reason, DropReason::duplicate);
  run.arrive(writer.delta());
  EXPECT_EQ(run.last().kind, Verdict::Kind::push);
}

TEST(L09, MessagesOfAnEndedEpochAreLate) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  const FrameFacts forgotten = writer.delta();
  const FrameFacts eos = writer.eos();
  run.arrive(eos);
  run.results();
  run.end();
  ASSERT_EQ(run.state(), absent);
  run.arrive(forgotten);
  EXPECT_EQ(run.last().reason, DropReason::late);
  EXPECT_EQ(run.last().answer, Verdict::Answer::acknowledge);
  run.arrive(eos);
  EXPECT_EQ(run.last().reason, DropReason::late);
  EXPECT_EQ(run.state(), absent);

  ++writer.epoch;
  writer.seq = 0;
  run.arrive(writer.key());
  EXPECT_EQ(run.state(), starting);
  run.arrive(forgotten);
  EXPECT_EQ(run.last().reason, DropReason::late);
}

TEST(L09, LateFrameUpdateStillBecomesAnUpsert) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  FrameFacts update = writer.other(MessageKind::frame_update);
  run.arrive(writer.eos());
  run.end();
  run.arrive(update);
  EXPECT_EQ(run.last().kind, Verdict::Kind::update);
  update.producer = uuid_of(99);  // a program beside the camera
  run.arrive(update);
  EXPECT_EQ(run.last().kind, Verdict::Kind::update);
}

TEST(L09, FramesThatComeOutOfOrderAreLate) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  const FrameFacts slow = writer.delta();
  run.arrive(writer.key());
  run.arrive(slow);
  EXPECT_EQ(run.last().reason, DropReason::late);
}

TEST(L09, ReplayedFramesRebuildTheDecoderWhereItLostItsState) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  const FrameFacts key = writer.key(), delta = writer.delta();
  run.arrive(key);
  run.arrive(delta);
  FrameFacts again = key;
  again.replay = true;
  run.arrive(again);
  EXPECT_EQ(run.last().reason, DropReason::duplicate) << "the decoder has it";
  writer.delta();
  run.arrive(writer.delta());  // a loss
  ASSERT_EQ(run.last().reason, DropReason::gap);
  run.arrive(again);
  EXPECT_EQ(run.last().kind, Verdict::Kind::push);
  EXPECT_TRUE(run.last().replay);
  FrameFacts delta_again = delta;
  delta_again.replay = true;
  run.arrive(delta_again);
  EXPECT_EQ(run.last().kind, Verdict::Kind::push);
  run.results();
  EXPECT_EQ(run.dropped(DropReason::replay), 2u);
  EXPECT_TRUE(run.machine.counts().balanced());
}

TEST(L09, AcknowledgedFramesOpenAnEpochAfterTheModuleHasRestarted) {
  Runner run;
  Writer writer;
  FrameFacts key = writer.key();
  key.replay = true;
  run.arrive(key);
  EXPECT_EQ(run.state(), starting);
  EXPECT_TRUE(run.last().replay);
  run.arrive(writer.delta());
  EXPECT_EQ(run.last().kind, Verdict::Kind::push);
  EXPECT_FALSE(run.last().replay);
}

TEST(L09, RefusedMessagesAreNoDuplicatesWhenTheyComeAgain) {
  Runner run;
  Writer writer;
  run.place = Runner::Place::refused;
  const FrameFacts key = writer.key();
  run.arrive(key);
  run.place = Runner::Place::granted;
  run.arrive(key);
  EXPECT_EQ(run.state(), starting);
  EXPECT_EQ(run.last().kind, Verdict::Kind::push);
}

// ── L-10 ──

TEST(L10, TimeThatGoesBackGoesOnAtTheNextKeyframeOneFrameLater) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  for (int i = 0; i < 10; ++i) run.arrive(writer.delta());
  run.arrive(writer.key());
  const Time last = run.instance().pts.back();
  writer.pts = -3600 * second;
  run.arrive(writer.delta());
  EXPECT_EQ(run.last().reason, DropReason::time_jump);
  run.arrive(writer.delta());
  EXPECT_EQ(run.last().reason, DropReason::time_jump);
  EXPECT_EQ(run.count(Kind::request_keyframe), 1u);
  run.log.clear();
  run.arrive(writer.key());
  EXPECT_EQ(run.last().kind, Verdict::Kind::push);
  EXPECT_TRUE(run.last().discontinuity);
  EXPECT_EQ(run.last().pts, last + 40 * millisecond);
  ASSERT_EQ(run.count(Kind::stream_update), 1u);
  EXPECT_TRUE(run.find(Kind::stream_update)->discontinuity);
  run.arrive(writer.delta());
  EXPECT_EQ(run.last().pts, last + 80 * millisecond);
  EXPECT_EQ(run.state(), live);
  EXPECT_EQ(run.machine.epoch(), 1);
}

TEST(L10, TimeFarAheadIsAJumpToo) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  writer.pts += 59 * second;
  run.arrive(writer.delta());
  EXPECT_EQ(run.last().kind, Verdict::Kind::push);
  const Time last = run.last().pts;
  EXPECT_GT(last, 59 * second);
  writer.pts += 61 * second;
  run.arrive(writer.key());
  EXPECT_EQ(run.last().pts, last + 40 * millisecond);
}

TEST(L10, JumpMayOpenANewEpoch) {
  Runner run({.on_time_jump = OnTimeJump::new_epoch});
  Writer writer;
  run.go_live(writer);
  run.arrive(writer.key());
  writer.pts = 0;
  run.arrive(writer.key());
  EXPECT_EQ(run.state(), draining);
  run.results();
  run.end();
  EXPECT_EQ(run.state(), starting);
  EXPECT_EQ(run.machine.epoch(), 2);
  EXPECT_EQ(run.instance().frames.size(), 1u);
}

TEST(L10, FramesOfAnotherTimeMayBeDropped) {
  Runner run({.on_time_jump = OnTimeJump::drop});
  Writer writer;
  run.go_live(writer);
  run.arrive(writer.key());
  const int64_t right = writer.pts;
  writer.pts = 0;
  run.arrive(writer.key());
  EXPECT_EQ(run.last().reason, DropReason::time_jump);
  writer.pts = right;
  run.arrive(writer.key());
  EXPECT_EQ(run.last().kind, Verdict::Kind::push);
}

TEST(L10, AnnouncedDiscontinuityIsNoJump) {
  Runner run({.on_time_jump = OnTimeJump::drop});
  Writer writer;
  run.go_live(writer);
  run.arrive(writer.key());
  FrameFacts update = writer.other(MessageKind::stream_update);
  update.discontinuity = true;
  run.arrive(update);
  EXPECT_EQ(run.last().kind, Verdict::Kind::pass);
  writer.pts = 0;
  run.arrive(writer.delta());
  EXPECT_EQ(run.last().reason, DropReason::gap);
  run.arrive(writer.key());
  EXPECT_EQ(run.last().kind, Verdict::Kind::push);
  EXPECT_TRUE(run.last().discontinuity);
}

TEST(L10, IdleStreamTakesItsJumpAsWell) {
  Runner run({.idle_timeout = never});
  Writer writer;
  run.go_live(writer);
  run.arrive(writer.key());
  run.pass(300 * second);
  ASSERT_EQ(run.state(), idle);
  writer.pts += 300 * second;
  const Time last = run.machine.counts().taken ? run.instance().pts.back() : 0;
  run.arrive(writer.key());
  EXPECT_EQ(run.state(), live);
  EXPECT_EQ(run.last().pts, last + 40 * millisecond);
}

// ── L-11 ──

TEST(L11, NewSizeOnAnInterCodecBuildsTheNextInstanceBesideTheOldOne) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  run.arrive(writer.delta());
  const uint32_t old = run.machine.instance();
  writer.width = 1280;
  run.arrive(writer.key());
  EXPECT_EQ(run.state(), switching);
  EXPECT_EQ(run.machine.old_instance(), old);
  EXPECT_EQ(run.machine.epoch(), 2);
  EXPECT_TRUE(run.instances.at(old).eos);
  EXPECT_TRUE(run.instance().results_held) << "old results leave first";
  EXPECT_EQ(run.instance().frames.size(), 1u);
  EXPECT_GE(run.count(Kind::stream_update), 1u);
  EXPECT_EQ(run.machine.format().width, 1280);
  EXPECT_GT(run.instance().pts.front(), run.instances.at(old).pts.back()) << "one clock per stream";
  run.decode();
  EXPECT_EQ(run.state(), switching);
  run.results(old);
  run.end(old);
  EXPECT_EQ(run.state(), live);
  EXPECT_FALSE(run.instance().results_held);
  EXPECT_TRUE(run.ends().empty()) << "sinks see EOS only with eos_on_change";
}

TEST(L11, SinksMaySeeEosAtAChange) {
  Runner run({.eos_on_change = true});
  Writer writer;
  run.go_live(writer);
  writer.codec = Codec::hevc;
  const uint32_t old = run.machine.instance();
  run.arrive(writer.key());
  run.end(old);
  EXPECT_EQ(run.ends(), std::vector{EosReason::changed});
}

TEST(L11, RecycledStreamIsRenewedAtItsNextKeyframe) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  EXPECT_TRUE(run.command(Command::recycle));
  EXPECT_EQ(run.count(Kind::request_keyframe), 1u);
  run.arrive(writer.delta());
  EXPECT_EQ(run.state(), live);
  run.arrive(writer.key());
  EXPECT_EQ(run.state(), switching);
  run.decode();
  run.end(run.machine.old_instance());
  EXPECT_EQ(run.state(), live);
  run.arrive(writer.key());
  EXPECT_EQ(run.state(), live) << "once";
}

TEST(L11, SecondChangeWhileSwitchingEndsBothAndOpensTheNextEpoch) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  const uint32_t first = run.machine.instance();
  writer.width = 1280;
  run.arrive(writer.key());
  const uint32_t next = run.machine.instance();
  writer.width = 1920;
  run.arrive(writer.key());
  EXPECT_EQ(run.state(), draining);
  run.end(first);
  EXPECT_EQ(run.state(), draining);
  run.end(next);
  EXPECT_EQ(run.state(), starting);
  EXPECT_EQ(run.machine.epoch(), 3);
  EXPECT_EQ(run.machine.format().width, 1920);
}

TEST(L11, NewSizeWhileStartingEndsWhatWasStarted) {
  Runner run;
  Writer writer;
  run.arrive(writer.key());
  writer.width = 1280;
  run.arrive(writer.key());
  EXPECT_EQ(run.state(), draining);
  run.end();
  EXPECT_EQ(run.state(), starting);
  EXPECT_EQ(run.machine.format().width, 1280);
}

TEST(L11, MetadataWithoutPictureIsNoNewCodec) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  writer.codec = Codec::none;
  run.arrive(writer.delta());
  EXPECT_EQ(run.last().kind, Verdict::Kind::push);
  writer.codec = Codec::h264;
  run.arrive(writer.delta());
  EXPECT_EQ(run.last().kind, Verdict::Kind::push);
  EXPECT_EQ(run.state(), live);
}

// ── L-12 ──

TEST(L12, PicturesThatStandAloneChangeSizeWithinTheInstance) {
  for (const Codec codec : {Codec::jpeg, Codec::png, Codec::raw}) {
    Runner run;
    Writer writer{.codec = codec};
    run.go_live(writer);
    writer.width = 800;
    run.arrive(writer.key());
    EXPECT_EQ(run.state(), live);
    EXPECT_EQ(run.count(Kind::renew_caps), 1u);
    EXPECT_EQ(run.count(Kind::stream_update), 1u);
    EXPECT_EQ(run.machine.format().width, 800);
    EXPECT_EQ(run.instance().frames.size(), 1u);
  }
}

TEST(L12, NewFrameRateAloneNeedsNoNewInstance) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  writer.frame_rate = {50, 1};
  run.has_room = false;
  run.arrive(writer.key());
  run.pump();  // offered again
  EXPECT_EQ(run.count(Kind::renew_caps), 1u);
  EXPECT_EQ(run.state(), live);
}

// ── L-13 ──

TEST(L13, SwitchIsOverWhenTheOldIsOutAndTheNewHasDecodedInEitherOrder) {
  for (const bool old_first : {true, false}) {
    Runner run;
    Writer writer;
    run.go_live(writer);
    const uint32_t old = run.machine.instance();
    writer.width = 320;
    run.arrive(writer.key());
    if (old_first) run.end(old);
    if (!old_first) run.decode();
    EXPECT_EQ(run.state(), switching);
    if (!old_first) run.end(old);
    if (old_first) run.decode();
    EXPECT_EQ(run.state(), live);
    EXPECT_EQ(run.reaped, std::vector{old});
    EXPECT_EQ(run.machine.old_instance(), 0u);
  }
}

// ── L-14 ──

TEST(L14, SilenceMakesAStreamIdleAndAFrameLiveAgain) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  run.pass(3 * second);
  EXPECT_EQ(run.state(), idle);
  EXPECT_TRUE(run.notified(Notice::stalled));
  EXPECT_EQ(run.count(Kind::flush_batches), 1u);
  run.arrive(writer.delta());
  EXPECT_EQ(run.state(), live);
  EXPECT_TRUE(run.notified(Notice::running));
}

TEST(L14, SlowStreamsHaveFiveFramesOfTime) {
  Runner run({.idle_timeout = 60 * second});
  Writer writer{.frame_rate = {1, 2}};
  run.go_live(writer);
  run.pass(9 * second);
  EXPECT_EQ(run.state(), live);
  run.pass(second);
  EXPECT_EQ(run.state(), idle);
}

TEST(L14, NoRateMakesAStreamWaitForLongerThanAMinute) {
  for (const Fraction rate : {Fraction{1, 1'000'000'000}, Fraction{1, INT32_MAX}}) {
    Runner run({.idle_timeout = 120 * second});
    Writer writer{.frame_rate = rate};
    run.go_live(writer);
    run.pass(59 * second);
    EXPECT_EQ(run.state(), live);
    run.pass(second);
    EXPECT_EQ(run.state(), idle);
  }
}

// ── W-05 ──

TEST(W05, FrameWhoseTimeCannotBeExpressedIsDropped) {
  Runner run;
  Writer writer;
  FrameFacts frame = writer.key();
  frame.time_base = {1, 1};
  frame.pts = std::numeric_limits<int64_t>::max();
  run.arrive(frame);
  EXPECT_EQ(run.last().reason, DropReason::timestamp);
  run.go_live(writer);
  frame = writer.key();
  frame.time_base = {1, 0};
  run.arrive(frame);
  EXPECT_EQ(run.last().reason, DropReason::timestamp);
  EXPECT_EQ(run.state(), live);
}

}  // namespace
}  // namespace sightglass::stream
