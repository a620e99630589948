// The running module with instances that do as they are told: what the life cycle says is really done, in
// order, and every frame is accounted for. The pipelines themselves are in module_streams_test.cc.
#include "sightglass/module/module_runner.h"

#include <algorithm>

#include "sightglass/module/running_module.h"

namespace sightglass::module::testing {
namespace {

TEST_F(RunningModule, L02GivesTheFirstResultOfANewStream) {
  start();
  Writer cam("cam-1");
  go_live(cam, "cam-1");
  push_frames(cam, 2, "ok", false);
  ASSERT_TRUE(eventually([&] { return recorder->story("cam-1") == "starting running F F F"; }))
      << recorder->story("cam-1");
  EXPECT_EQ(recorder->states("cam-1"), "STARTING LIVE");
  const auto records = recorder->records("cam-1");
  EXPECT_EQ(records.back()->seq, 2);
  EXPECT_EQ(records.back()->pts, 80 * ms);
  EXPECT_EQ(records.back()->epoch, 1);
  EXPECT_EQ(records.back()->uuid, cam.last());
  EXPECT_TRUE(is_settled());
  const auto status = status_of(*module, "cam-1");
  EXPECT_EQ(status.stored, 3u);
  EXPECT_EQ(status.codec, "h264");
  EXPECT_EQ(status.width, 64);
}

TEST_F(RunningModule, L01DropsWhatComesBeforeAKeyframe) {
  start();
  Writer cam("cam-1");
  push(cam.frame(false));
  push(cam.frame(false));
  ASSERT_TRUE(eventually([&] { return is("cam-1", "WAIT_KEY"); }));
  push(cam.frame(true));
  ASSERT_TRUE(eventually([&] { return recorder->frames() == 1; }));
  ASSERT_TRUE(is_settled());
  EXPECT_EQ(dropped(status_of(*module, "cam-1"), "no_keyframe"), 2u);
}

TEST_F(RunningModule, L03EvictsTheStreamThatIsIdleForLongest) {
  auto spec = quick_spec();
  spec.streams.max_streams = 2;
  spec.streams.stall_after = 30 * ms;
  start(spec);
  Writer a("a"), b("b"), c("c");
  push_frames(a, 1);
  ASSERT_TRUE(eventually([&] { return is("a", "IDLE"); }));
  push_frames(b, 1);
  ASSERT_TRUE(eventually([&] { return is("b", "IDLE"); }));
  push_frames(c, 2);
  ASSERT_TRUE(eventually([&] { return recorder->frames("c") == 2; }));
  EXPECT_EQ(recorder->story("a"), "starting running F stalled evicted(1)");
  EXPECT_TRUE(is("a", "ABSENT"));
  EXPECT_FALSE(is("b", "ABSENT"));
  EXPECT_TRUE(is_settled());
}

TEST_F(RunningModule, L03RejectsAndCountsAndServesAgainWhenThereIsAPlace) {
  auto spec = quick_spec();
  spec.streams.max_streams = 1;
  spec.streams.on_max_streams = stream::OnMaxStreams::reject;
  start(spec);
  Writer a("a"), b("b");
  push_frames(a, 1);
  ASSERT_TRUE(eventually([&] { return is("a", "LIVE"); }));
  push_frames(b, 1);
  ASSERT_TRUE(eventually([&] { return is("b", "REJECTED"); }));
  ASSERT_TRUE(eventually([&] { return dropped(status_of(*module, "b"), "rejected") == 1; }));
  EXPECT_EQ(module->status().refused_streams, 1u);
  EXPECT_TRUE(module->health().ready);
  push(a.end());
  ASSERT_TRUE(eventually([&] { return is("a", "ABSENT"); }));
  push(b.frame(true));
  ASSERT_TRUE(eventually([&] { return recorder->frames("b") == 1; }));
  EXPECT_TRUE(is_settled());
}

TEST_F(RunningModule, L03EvictsTheLowestPriority) {
  auto spec = quick_spec();
  spec.streams.max_streams = 2;
  spec.streams.on_max_streams = stream::OnMaxStreams::evict_lowest_priority;
  Value high = Value::map();
  high.set("priority", 5);
  spec.stream_overrides = {{"vip*", high}};
  start(spec);
  Writer a("vip-a"), b("b"), c("vip-c");
  push_frames(a, 1);
  push_frames(b, 1);
  ASSERT_TRUE(eventually([&] { return is("vip-a", "LIVE") && is("b", "LIVE"); }));
  push_frames(c, 1);
  ASSERT_TRUE(eventually([&] { return recorder->frames("vip-c") == 1; }));
  EXPECT_TRUE(is("b", "ABSENT"));
  EXPECT_TRUE(is("vip-a", "LIVE"));
}

TEST_F(RunningModule, L06TriesTheNextDecoderWithTheSameFrames) {
  world.decoders = 2;
  start();
  Writer cam("cam");
  world.capacity = 4;
  // The first decoder fails at the second frame, before it has given anything; the next one gets all again.
  push(cam.frame(true, "hold"));
  push(cam.frame(false, "hold"));
  ASSERT_TRUE(eventually([&] { return world.waiting() == 2; }));
  world.holds_back = false;
  push(cam.frame(false, "bad once"));
  ASSERT_TRUE(eventually([&] { return world.built == 2; }));
  ASSERT_TRUE(eventually([&] { return recorder->frames() == 3; })) << recorder->story("cam");
  EXPECT_EQ(recorder->story("cam"), "starting running F F F");
  EXPECT_TRUE(is_settled());
  const std::scoped_lock lock(world.mutex);
  EXPECT_EQ(world.builds[1].decoder_choice, 1u);
  EXPECT_EQ(world.builds[1].decoder_failure, "decoder: the picture is broken");
  EXPECT_TRUE(world.builds[0].decoder_failure.empty());
  EXPECT_EQ(world.builds[1].epoch, 1);
  EXPECT_EQ(status_of(*module, "cam").decoder_fallbacks, 1u);
}

TEST_F(RunningModule, L08CountsALossAndGoesOnAtTheNextKeyframe) {
  start();
  Writer cam("cam");
  push_frames(cam, 2);
  cam.lose(3);
  push(cam.frame(false));
  push(cam.frame(true));
  ASSERT_TRUE(eventually([&] { return recorder->frames() == 3; }));
  ASSERT_TRUE(is_settled());
  const auto status = status_of(*module, "cam");
  EXPECT_EQ(status.lost, 3u);
  EXPECT_EQ(dropped(status, "gap"), 1u);
}

TEST_F(RunningModule, L09DropsDuplicatesAndAcknowledgesThemAgain) {
  start();
  Writer cam("cam");
  auto settlement = std::make_shared<CountedSettlement>();
  cam.settlement = settlement;
  auto delivery = cam.frame(true);
  push(delivery);
  push(delivery);
  ASSERT_TRUE(eventually([&] { return settlement->processes == 2; }));
  EXPECT_EQ(recorder->frames(), 1u);
  EXPECT_EQ(status_of(*module, "cam").duplicate, 1u);
  EXPECT_EQ(settlement->accepts, 2);
}

TEST_F(RunningModule, L10RebasesTimeThatGoesBackAndKeepsTheOriginal) {
  start();
  Writer cam("cam");
  go_live(cam, "cam");
  push_frames(cam, 2, "ok", false);
  cam.set_pts(0);
  push_frames(cam, 2);
  ASSERT_TRUE(eventually([&] { return recorder->frames() == 5; }));
  EXPECT_EQ(recorder->story("cam"), "starting running F F F running F F");
  const auto records = recorder->records("cam");
  EXPECT_TRUE(records[5]->message->stream_update->discontinuity);
  EXPECT_EQ(records[6]->pts, 0);
  EXPECT_EQ(records[6]->epoch, 1);
}

TEST_F(RunningModule, L11OldResultsLeaveFirstWhenTheCodecChanges) {
  start();
  Writer cam("cam");
  go_live(cam, "cam");
  push_frames(cam, 3, "hold", false);
  cam.set_codec("hevc");
  push_frames(cam, 2);
  // The new instance has its results, and they wait.
  ASSERT_TRUE(eventually([&] { return world.built == 2 && is("cam", "SWITCHING"); }));
  EXPECT_EQ(recorder->frames(), 1u);
  world.let_go();
  ASSERT_TRUE(eventually([&] { return recorder->frames() == 6; }));
  int64_t last = -1;
  for (const auto& record : recorder->records("cam")) {
    if (record->kind != RecordKind::frame) continue;
    EXPECT_EQ(record->seq, last + 1);
    EXPECT_EQ(record->epoch, record->seq < 4 ? 1 : 2);
    last = record->seq;
  }
  EXPECT_EQ(recorder->count(RecordKind::end_of_stream), 0u);  // unless eos_on_change
  EXPECT_EQ(recorder->states("cam"), "STARTING LIVE SWITCHING LIVE");
  ASSERT_TRUE(eventually([&] { return world.stopped == 1; }));
  EXPECT_TRUE(is_settled());
}

TEST_F(RunningModule, L11TellsSinksOfTheChangeOnRequest) {
  auto spec = quick_spec();
  spec.streams.eos_on_change = true;
  start(spec);
  Writer cam("cam");
  go_live(cam, "cam");
  cam.set_size(128, 96);
  push_frames(cam, 1);
  ASSERT_TRUE(eventually([&] { return recorder->frames() == 2 && is("cam", "LIVE"); }));
  EXPECT_TRUE(recorder->story("cam").starts_with("starting running F starting changed(1) "))
      << recorder->story("cam");
}

TEST_F(RunningModule, L12RenewsTheCapsOfCodecsThatTakeIt) {
  start();
  Writer cam("cam", "jpeg");
  push_frames(cam, 1);
  cam.set_size(128, 96);
  push_frames(cam, 1);
  ASSERT_TRUE(eventually([&] { return recorder->frames() == 2; }));
  EXPECT_EQ(world.built, 1);
  EXPECT_EQ(recorder->states("cam"), "STARTING LIVE");
}

TEST_F(RunningModule, L14L15FallsIdleAndEndsAndComesBack) {
  auto spec = quick_spec();
  spec.streams.stall_after = 20 * ms;
  spec.streams.idle_timeout = 60 * ms;
  start(spec);
  Writer cam("cam");
  push_frames(cam, 1);
  ASSERT_TRUE(eventually([&] { return recorder->story("cam") == "starting running F stalled idle(1)"; }))
      << recorder->story("cam");
  EXPECT_EQ(world.flushed, 1);  // partial batches do not wait for what does not come
  ASSERT_TRUE(eventually([&] { return is("cam", "ABSENT") && world.alive == 0; }));
  push_frames(cam, 1);
  ASSERT_TRUE(eventually([&] { return recorder->frames() == 2; }));
  EXPECT_EQ(recorder->records("cam").back()->epoch, 2);
  EXPECT_TRUE(is_settled());
}

TEST_F(RunningModule, L16L17EndsBehindTheQueuedFramesAndAcknowledgesWhenAllIsStored) {
  auto spec = quick_spec();
  spec.pipeline.sinks = {test_sink("store")};
  auto& sink = sink_control("store");
  sink.set(SinkControl::Mode::fail);
  start(spec);
  Writer cam("cam");
  go_live(cam, "cam");
  push_frames(cam, 4, "ok", false);
  auto settlement = std::make_shared<CountedSettlement>();
  cam.settlement = settlement;
  push(cam.end());
  ASSERT_TRUE(eventually([&] { return is("cam", "ABSENT"); }));
  // Nothing is stored yet: the end-to-end delimiter has to wait.
  EXPECT_EQ(settlement->processes, 0);
  EXPECT_EQ(status_of(*module, "cam").in_flight, 5u);
  sink.set(SinkControl::Mode::store);
  ASSERT_TRUE(eventually([&] { return settlement->processes == 1; }));
  EXPECT_EQ(sink.frames, 5u);
  EXPECT_EQ(recorder->story("cam"), "starting running F F F F F end(5)");
  EXPECT_TRUE(is_settled());
  EXPECT_EQ(status_of(*module, "cam").stored, 5u);
}

TEST_F(RunningModule, L17OpensTheNextEpochWithAKeyframeThatWaits) {
  start();
  Writer cam("cam");
  go_live(cam, "cam");
  push_frames(cam, 1, "hold", false);
  push(cam.end());
  push_frames(cam, 2);
  ASSERT_TRUE(eventually([&] { return is("cam", "DRAINING"); }));
  world.let_go();
  ASSERT_TRUE(eventually([&] { return recorder->frames() == 4; }));
  EXPECT_TRUE(recorder->story("cam").starts_with("starting running F F end(2) starting "))
      << recorder->story("cam");
  EXPECT_EQ(recorder->records("cam").back()->epoch, 2);
  EXPECT_TRUE(is_settled());
}

TEST_F(RunningModule, L18CountsWhatIsNotOutByTheDrainTimeout) {
  auto spec = quick_spec();
  spec.streams.drain_timeout = 50 * ms;
  start(spec);
  Writer cam("cam");
  go_live(cam, "cam");
  push_frames(cam, 3, "mute", false);
  push(cam.end());
  ASSERT_TRUE(eventually([&] { return is("cam", "ABSENT"); }));
  ASSERT_TRUE(is_settled());
  EXPECT_EQ(dropped(status_of(*module, "cam"), "unfinished"), 3u);
  ASSERT_TRUE(eventually([&] { return recorder->story("cam") == "starting running F error(1)"; }))
      << recorder->story("cam");
}

TEST_F(RunningModule, L19L20QuarantinesOneStreamAndTriesAgain) {
  start();
  Writer good("good"), bad("bad");
  push_frames(good, 1);
  go_live(bad, "bad");
  push_frames(bad, 1, "ok", false);
  ASSERT_TRUE(eventually([&] { return recorder->frames("bad") == 2; }));
  push(bad.frame(false, "bad"));
  ASSERT_TRUE(eventually([&] { return recorder->count(RecordKind::end_of_stream, "bad") == 1; }));
  ASSERT_TRUE(eventually([&] {
    return recorder->story("bad") == "starting running F F error(2) quarantined";
  })) << recorder->story("bad");
  EXPECT_NE(status_of(*module, "bad").last_error.find("the picture is broken"), std::string::npos);
  // It comes back by itself, with its next keyframe after the back-off.
  ASSERT_TRUE(eventually([&] {
    push(bad.frame(true));
    return recorder->frames("bad") > 2;
  }));
  EXPECT_TRUE(recorder->states("bad").starts_with("STARTING LIVE QUARANTINED STARTING LIVE"));
  push(good.frame(false));
  ASSERT_TRUE(eventually([&] { return recorder->frames("good") == 2; }));
  EXPECT_EQ(recorder->states("good"), "STARTING LIVE");
  EXPECT_TRUE(module->health().ready);
  EXPECT_TRUE(is_settled());
}

TEST_F(RunningModule, L21BlacklistsAndReleases) {
  auto spec = quick_spec();
  spec.streams.max_failures = 1;
  start(spec);
  Writer cam("cam");
  push_frames(cam, 1);
  push(cam.frame(false, "bad"));
  ASSERT_TRUE(eventually([&] { return is("cam", "BLACKLISTED"); }));
  auto settlement = std::make_shared<CountedSettlement>();
  cam.settlement = settlement;
  ASSERT_TRUE(eventually([&] { return !module->push(cam.frame(true)); }));
  EXPECT_EQ(settlement->last_code, "blacklisted");
  EXPECT_GE(module->status().messages_rejected.at("blacklisted"), 1u);
  EXPECT_TRUE(module->act("cam", StreamAction::release));
  EXPECT_FALSE(module->act("cam", StreamAction::release));
  push(cam.frame(true));
  ASSERT_TRUE(eventually([&] { return recorder->frames() == 2; }));
  EXPECT_TRUE(is_settled());
}

TEST_F(RunningModule, L23SetsAsideWhatDoesNotStopAndGivesUpAfterMaxStuck) {
  auto spec = quick_spec();
  spec.streams.teardown_timeout = 20 * ms;
  spec.streams.max_stuck = 1;
  world.is_stuck = true;
  start(spec);
  for (const char* id : {"a", "b"}) {
    Writer cam(id);
    push_frames(cam, 1);
    push(cam.end());
    ASSERT_TRUE(eventually([&] { return is(id, "ABSENT"); }));
  }
  ASSERT_TRUE(eventually([&] { return module->status().instances_stuck == 2; }));
  EXPECT_FALSE(module->health().live);
  Writer other("c");
  push_frames(other, 1);  // goes on
  ASSERT_TRUE(eventually([&] { return recorder->frames("c") == 1; }));
  EXPECT_EQ(module->shutdown({}).exit_code, 5);
  world.is_stuck = false;
}

TEST_F(RunningModule, L24DrainsTheModule) {
  auto spec = quick_spec();
  spec.pipeline.sinks = {test_sink("store")};
  start(spec);
  Writer a("a"), b("b");
  go_live(a, "a");
  go_live(b, "b");
  push_frames(a, 2, "ok", false);
  push_frames(b, 1, "ok", false);
  ASSERT_TRUE(eventually([&] { return recorder->frames() == 5; }));
  const auto outcome = module->shutdown({});
  EXPECT_EQ(outcome.exit_code, 0) << (outcome.missing.empty() ? "" : outcome.missing.front());
  EXPECT_EQ(recorder->story("a"), "starting running F F F drain(3)");
  EXPECT_EQ(recorder->story("b"), "starting running F F drain(2)");
  EXPECT_EQ(sink_control("store").frames, 5u);
  EXPECT_EQ(world.alive, 0);
  EXPECT_FALSE(module->push(a.frame(true)));
}

TEST_F(RunningModule, ListsWhatADeadlineHasLeftBehind) {
  auto spec = quick_spec();
  start(spec);
  Writer cam("cam");
  push_frames(cam, 1);
  push_frames(cam, 2, "mute", false);
  ASSERT_TRUE(eventually([&] { return status_of(*module, "cam").in_flight == 2; }));
  const auto outcome = module->shutdown({.deadline_ms = 50});
  EXPECT_EQ(outcome.exit_code, 3);
  ASSERT_EQ(outcome.missing.size(), 1u);
  EXPECT_EQ(outcome.missing[0], "stream cam: 2 frames");
}

TEST_F(RunningModule, AShutdownWhileItStartsEndsTheStart) {
  auto hooks = fake_hooks(world);
  hooks.prepare = [this, prepare = hooks.prepare](const ModuleSpec& spec, const PrepareOptions& options) {
    EXPECT_EQ(module->shutdown({.mode = ShutdownMode::now}).exit_code, 0);
    return prepare(spec, options);
  };
  auto made = create_module(quick_spec(), std::move(hooks));
  ASSERT_TRUE(made) << made.error().to_string();
  module = std::move(*made);
  const auto started = module->start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::cancelled);
  EXPECT_EQ(module->status().state, "ended");
  module.reset();
}

TEST_F(RunningModule, NowCutsADrainShort) {
  auto spec = quick_spec();
  start(spec);
  Writer cam("cam");
  push_frames(cam, 1);
  auto settlement = std::make_shared<CountedSettlement>();
  cam.settlement = settlement;
  push_frames(cam, 2, "mute", false);
  ASSERT_TRUE(eventually([&] { return status_of(*module, "cam").in_flight == 2; }));
  std::jthread draining([&] { (void)module->shutdown({.deadline_ms = 600'000}); });
  ASSERT_TRUE(eventually([&] { return module->status().state == "draining"; }));
  EXPECT_EQ(module->shutdown({.mode = ShutdownMode::now}).exit_code, 0);
  draining.join();
  // Unacknowledged input stays with the writer.
  EXPECT_EQ(settlement->processes, 0);
  EXPECT_EQ(settlement->refusals, 2);
  EXPECT_TRUE(settlement->last_retry);
}

TEST_F(RunningModule, L09AnUpdateOfAFrameThatEndsWithoutARecordIsAnUpsert) {
  start();
  Writer cam("cam");
  go_live(cam, "cam");
  auto settlement = std::make_shared<CountedSettlement>();
  push(cam.frame(false, "hold"));
  push(cam.frame(false, "drop"));
  const auto dropped_frame = cam.last();
  cam.settlement = settlement;
  push(cam.update(dropped_frame));
  ASSERT_TRUE(eventually([&] { return status_of(*module, "cam").in_flight == 2; }));
  world.let_go();
  ASSERT_TRUE(eventually([&] { return settlement->processes == 1; }));
  EXPECT_EQ(recorder->story("cam"), "starting running F F update");
}

TEST_F(RunningModule, WhatIsHiddenReachesNoSinkThroughUpdatesAndUserData) {
  start();
  Writer cam("cam");
  go_live(cam, "cam");
  const std::vector<stream::Attribute> attributes = {{.namespace_ = "m", .name = "shown"},
                                                     {.namespace_ = "m", .name = "secret", .hidden = true}};
  const auto filled = [&](stream::Delivery delivery) {
    auto message = std::make_shared<stream::Message>(*delivery.message);
    if (message->user_data) message->user_data->attributes = attributes;
    if (message->frame_update) {
      message->frame_update->attributes = attributes;
      message->frame_update->object_attributes = {{1, attributes[0]}, {1, attributes[1]}};
      message->frame_update->objects.emplace_back().object.attributes = attributes;
    }
    delivery.message = std::move(message);
    return delivery;
  };
  push(filled(cam.user_data()));
  push(filled(cam.update(cam.last())));
  ASSERT_TRUE(eventually([&] { return recorder->story("cam").ends_with("update"); }));
  size_t seen = 0;
  for (const RecordRef& record : recorder->records("cam")) {
    const stream::Message& message = *record->message;
    if (message.user_data) {
      ++seen;
      EXPECT_EQ(message.user_data->attributes, std::vector{attributes[0]});
    }
    if (message.frame_update) {
      ++seen;
      EXPECT_EQ(message.frame_update->attributes, std::vector{attributes[0]});
      EXPECT_EQ(message.frame_update->object_attributes.size(), 1u);
      EXPECT_EQ(message.frame_update->objects.at(0).object.attributes, std::vector{attributes[0]});
    }
  }
  EXPECT_EQ(seen, 2u);
}

TEST_F(RunningModule, L09AnUpdateWaitsHalfASecondForItsFrame) {
  start();
  Writer cam("cam");
  go_live(cam, "cam");
  auto settlement = std::make_shared<CountedSettlement>();
  push(cam.frame(false, "hold"));
  cam.settlement = settlement;
  push(cam.update(cam.last()));
  ASSERT_TRUE(eventually([&] { return settlement->processes == 1; }));
  EXPECT_EQ(recorder->story("cam"), "starting running F update");
  world.let_go();
  ASSERT_TRUE(eventually([&] { return recorder->frames("cam") == 2; }));
}

TEST_F(RunningModule, TicketsTellHowFullTheQueueWas) {
  auto spec = quick_spec();
  spec.buffers.frames = 4;
  world.capacity = 1;
  start(spec);
  Writer cam("cam");
  go_live(cam, "cam");
  EXPECT_LT(world.fullest, 0.5);
  push_frames(cam, 5, "hold", false);
  world.let_go();
  ASSERT_TRUE(eventually([&] { return recorder->frames("cam") == 6; }));
  EXPECT_EQ(world.fullest, 1);
}

TEST(Listeners, ComeAndGoFromInsideACallback) {
  Listeners<int> listeners;
  std::unique_ptr<Subscription> own, more;
  int calls = 0, calls_of_more = 0;
  own = listeners.add([&](const int&) {
    ++calls;
    more = listeners.add([&](const int&) { ++calls_of_more; });
    own.reset();
  });
  listeners.call(1);
  listeners.call(2);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(calls_of_more, 1);
}

TEST_F(RunningModule, UserDataKeepsItsPlaceAmongTheFrames) {
  start();
  Writer cam("cam");
  go_live(cam, "cam");
  push_frames(cam, 1, "hold", false);
  push(cam.user_data());
  push_frames(cam, 1, "ok", false);
  ASSERT_TRUE(eventually([&] { return recorder->frames() == 1; }));
  world.let_go();
  ASSERT_TRUE(eventually([&] { return recorder->frames() == 3; }));
  EXPECT_EQ(recorder->story("cam"), "starting running F F data F");
}

TEST_F(RunningModule, BackPressureBlocksOneStreamOnly) {
  auto spec = quick_spec();
  spec.buffers.frames = 4;
  world.capacity = 2;
  start(spec);
  Writer slow("slow"), fast("fast");
  push_frames(slow, 1);
  ASSERT_TRUE(eventually([&] { return recorder->frames("slow") == 1; }));
  push_frames(slow, 6, "hold", false);  // two in the instance, four in the queue
  const auto refused = module->push(slow.frame(false, "hold"), 20);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("full"), std::string::npos);
  push_frames(fast, 50);
  ASSERT_TRUE(eventually([&] { return recorder->frames("fast") == 50; }));
  world.let_go();
  ASSERT_TRUE(eventually([&] { return recorder->frames("slow") == 7; }));
  EXPECT_TRUE(is_settled());
}

TEST_F(RunningModule, DropsToTheNextKeyframeWhereNothingCanWait) {
  auto spec = quick_spec();
  spec.buffers.frames = 4;
  spec.buffers.policy = QueuePolicy::drop_to_keyframe;
  world.capacity = 1;
  start(spec);
  Writer cam("cam");
  push_frames(cam, 1);
  ASSERT_TRUE(eventually([&] { return recorder->frames() == 1; }));
  push_frames(cam, 20, "hold", false);
  push(cam.frame(true));
  world.let_go();
  ASSERT_TRUE(is_settled());
  const auto status = status_of(*module, "cam");
  EXPECT_GT(dropped(status, "queue_full"), 0u);
  EXPECT_EQ(recorder->records("cam").back()->seq, 21);
  EXPECT_EQ(status.lost, 0u);  // our own drops are no losses on the way
}

}  // namespace
}  // namespace sightglass::module::testing
