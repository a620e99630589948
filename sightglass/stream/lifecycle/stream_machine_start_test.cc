// Rows of the table of the life cycle, on a clock that the test moves: L-01 to L-06: how streams begin.
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

// ── L-01 ──

TEST(L01, DeltaFrameBeforeAnyKeyframeIsDroppedAndKeyframeAskedForOncePerSecond) {
  Runner run;
  Writer writer;
  for (int i = 0; i < 25; ++i) {
    run.arrive(writer.delta());
    EXPECT_EQ(run.last().kind, Verdict::Kind::drop);
    EXPECT_EQ(run.last().reason, DropReason::no_keyframe);
    EXPECT_EQ(run.last().answer, Verdict::Answer::acknowledge);
    run.pass(100 * millisecond);
  }
  EXPECT_EQ(run.state(), wait_key);
  EXPECT_EQ(run.count(Kind::request_keyframe), 3u);
  EXPECT_EQ(run.dropped(DropReason::no_keyframe), 25u);
  EXPECT_EQ(run.count(Kind::acquire_slot), 0u);
}

// ── L-02 ──

TEST(L02, KeyframeOpensTheEpochWhenThereIsAPlace) {
  Runner run;
  Writer writer;
  run.arrive(writer.delta());
  run.arrive(writer.key());
  EXPECT_EQ(run.state(), starting);
  EXPECT_EQ(run.machine.epoch(), 1);
  EXPECT_TRUE(run.notified(Notice::starting));
  EXPECT_EQ(run.instance().frames.size(), 1u);
  EXPECT_EQ(run.machine.format().codec, Codec::h264);
}

TEST(L02, RejectedStreamStartsWhenAPlaceIsFreeAtItsNextKeyframe) {
  Runner run;
  Writer writer;
  run.place = Runner::Place::refused;
  run.arrive(writer.key());
  ASSERT_EQ(run.state(), rejected);
  run.place = Runner::Place::granted;
  run.arrive(writer.delta());
  EXPECT_EQ(run.state(), rejected);
  run.arrive(writer.key());
  EXPECT_EQ(run.state(), starting);
}

TEST(L02, PicturesOfIntraCodecsNeedNoKeyframeFlag) {
  Runner run;
  Writer writer{.codec = Codec::jpeg};
  run.arrive(writer.delta());
  EXPECT_EQ(run.state(), starting);
}

// ── L-03 ──

TEST(L03, RefusedKeyframeIsCountedAndTheWriterToldToComeAgain) {
  Runner run;
  Writer writer;
  run.place = Runner::Place::refused;
  run.arrive(writer.key());
  run.arrive(writer.delta());
  run.arrive(writer.key());
  EXPECT_EQ(run.state(), rejected);
  EXPECT_EQ(run.dropped(DropReason::rejected), 3u);
  EXPECT_EQ(run.last().answer, Verdict::Answer::refuse_retry);
  EXPECT_EQ(run.count(Kind::acquire_slot), 2u);
  EXPECT_EQ(run.count(Kind::stream_update), 1u);  // said once
  EXPECT_TRUE(run.notified(Notice::rejected));
}

TEST(L03, FramesWaitWhileAnEvictedStreamDrains) {
  Runner run;
  Writer writer;
  run.place = Runner::Place::pending;
  run.arrive(writer.key());
  run.arrive(writer.delta());
  EXPECT_EQ(run.state(), starting);
  EXPECT_EQ(run.machine.instance(), 0u);
  run.grant();
  EXPECT_EQ(run.instance().frames.size(), 2u);
}

TEST(L03, WaitForAPlaceIsBounded) {
  Runner run;
  Writer writer;
  run.place = Runner::Place::pending;
  run.arrive(writer.key());
  run.pass(15 * second);
  EXPECT_EQ(run.state(), rejected);
  EXPECT_EQ(run.count(Kind::release_slot), 1u);
  EXPECT_EQ(run.dropped(DropReason::rejected), 1u);
  run.grant();  // too late: handed on
  EXPECT_EQ(run.state(), rejected);
  EXPECT_EQ(run.count(Kind::release_slot), 2u);
}

TEST(L03, EvictedStreamDrainsAndGivesItsPlaceBack) {
  Runner run;
  Writer writer;
  run.go_live(writer);
  run.pass(5 * second);
  ASSERT_EQ(run.state(), idle);
  EXPECT_TRUE(run.command(Command::evict));
  EXPECT_EQ(run.state(), draining);
  run.end();
  EXPECT_EQ(run.state(), absent);
  EXPECT_EQ(run.ends(), std::vector{EosReason::evicted});
  EXPECT_EQ(run.count(Kind::release_slot), 1u);
}

// ── L-04 ──

TEST(L04, StreamWithoutKeyframeIsForgottenAfterKeyTimeout) {
  Runner run;
  Writer writer;
  run.arrive(writer.delta());
  run.pass(29 * second);
  EXPECT_EQ(run.state(), wait_key);
  run.pass(second);
  EXPECT_EQ(run.state(), absent);
  EXPECT_EQ(run.forgotten, 0u);
  run.pass(60 * second);  // the tombstone
  EXPECT_EQ(run.forgotten, 1u);
}

TEST(L04, RejectedStreamIsForgottenAfterKeyTimeout) {
  Runner run;
  Writer writer;
  run.place = Runner::Place::refused;
  run.arrive(writer.key());
  run.pass(30 * second);
  EXPECT_EQ(run.state(), absent);
}

TEST(L04, EosAndUserDataPassToTheSinks) {
  for (const bool is_rejected : {false, true}) {
    Runner run;
    Writer writer;
    run.place = Runner::Place::refused;
    run.arrive(is_rejected ? writer.key() : writer.delta());
    const LifeState before = run.state();
    run.arrive(writer.other(MessageKind::user_data));
    EXPECT_EQ(run.last().kind, Verdict::Kind::pass);
    EXPECT_EQ(run.state(), before);
    run.arrive(writer.eos());
    EXPECT_EQ(run.last().kind, Verdict::Kind::pass);
    EXPECT_EQ(run.state(), absent);
  }
}

TEST(L04, UserDataOfAnUnknownSourceWaitsForItsKeyframeBesideThePassing) {
  Runner run;
  Writer writer;
  run.arrive(writer.other(MessageKind::user_data));
  EXPECT_EQ(run.last().kind, Verdict::Kind::pass);
  EXPECT_EQ(run.state(), wait_key);
}

// ── L-05 ──

TEST(L05, FirstDecodedFrameMakesTheStreamLive) {
  Runner run;
  Writer writer;
  run.arrive(writer.key());
  run.log.clear();
  run.decode();
  EXPECT_EQ(run.state(), live);
  EXPECT_TRUE(run.notified(Notice::running));
  EXPECT_EQ(run.count(Kind::forget_taken), 1u);
  run.log.clear();
  run.decode();  // told twice
  EXPECT_TRUE(run.log.empty());
}

// ── L-06 ──

TEST(L06, NextDecoderGetsTheSameFramesAgain) {
  for (const Fault fault : {Fault::unsupported, Fault::no_decoder, Fault::decoder}) {
    Runner run;
    Writer writer;
    run.arrive(writer.key());
    run.arrive(writer.delta());
    const std::vector<Time> pts = run.instance().pts;
    run.fail(fault);
    EXPECT_EQ(run.state(), starting);
    EXPECT_EQ(run.machine.instance(), 2u);
    EXPECT_EQ(run.instance().decoder, 1);
    EXPECT_EQ(run.instance().frames.size(), 2u);
    EXPECT_EQ(run.instance().pts, pts);
    EXPECT_EQ(run.machine.epoch(), 1);
    run.decode();
    run.results();
    EXPECT_EQ(run.state(), live);
    EXPECT_EQ(run.machine.counts().stored, 2u);
    EXPECT_EQ(run.machine.counts().taken, 2u);
  }
}

TEST(L06, StartTimeoutTriesTheNextDecoderOnceThenFails) {
  Runner run;
  Writer writer;
  run.arrive(writer.key());
  run.pass(10 * second);
  EXPECT_EQ(run.state(), starting);
  EXPECT_EQ(run.instance().decoder, 1);
  run.pass(10 * second);
  EXPECT_EQ(run.state(), quarantined);
  EXPECT_EQ(run.dropped(DropReason::failed), 1u);
  EXPECT_EQ(run.machine.last_error(), "no decoded frame within 10000 ms");
}

TEST(L06, FirstErrorIsKeptWhenThereIsNoSecondDecoder) {
  Runner run;
  Writer writer;
  run.arrive(writer.key());
  run.fail(Fault::unsupported, "profile High 4:4:4 is not supported");
  run.fail(Fault::no_decoder, "no further decoder for h264");
  EXPECT_EQ(run.state(), quarantined);
  EXPECT_EQ(run.machine.last_error(), "profile High 4:4:4 is not supported");
}

TEST(L06, EosBehindTheFramesIsPushedAgainToo) {
  for (const bool is_retained : {true, false}) {
    Runner run;
    Writer writer;
    run.retains_eos = is_retained;
    run.arrive(writer.key());
    run.arrive(writer.delta());
    run.arrive(writer.eos());
    ASSERT_EQ(run.state(), draining);
    run.fail(Fault::decoder);
    EXPECT_EQ(run.state(), draining);
    EXPECT_EQ(run.instance().frames.size(), 2u);
    EXPECT_TRUE(run.instance().eos);
    run.decode();
    run.results();
    run.end();
    EXPECT_EQ(run.state(), absent);
    EXPECT_EQ(run.machine.counts().stored, 2u);
    EXPECT_EQ(run.count(Kind::acknowledge_eos), 1u);
  }
}

TEST(L06, FramesThatWereNotKeptAreCountedAndAKeyframeIsAskedFor) {
  Runner run;
  Writer writer;
  for (int i = 0; i < 70; ++i)
    run.arrive(i == 0 ? writer.key() : writer.delta());  // more than the queue keeps
  run.fail(Fault::unsupported);
  EXPECT_EQ(run.dropped(DropReason::failed), 70u);
  EXPECT_EQ(run.count(Kind::request_keyframe), 1u);
  run.arrive(writer.delta());
  EXPECT_EQ(run.last().kind, Verdict::Kind::drop);
  run.arrive(writer.key());
  EXPECT_EQ(run.instance().frames.size(), 1u);
  EXPECT_TRUE(run.machine.counts().balanced());
}

}  // namespace
}  // namespace sightglass::stream
