// The running module with instances that do as they are told: what the life cycle says is really done, in
// order, and every frame is accounted for. The pipelines themselves are in module_streams_test.cc.
#include "sightglass/module/module_runner.h"

#include <algorithm>

#include "sightglass/module/runner_test_support.h"

namespace sightglass::module::testing {
namespace {

class RunningModule : public ::testing::Test {
 protected:
  ~RunningModule() override {
    recorder.reset();
    module.reset();
    forget_sink_controls();
  }
  void start(ModuleSpec spec = quick_spec()) {
    auto made = create_module(spec, fake_hooks(world));
    ASSERT_TRUE(made) << made.error().to_string();
    module = std::move(*made);
    recorder = std::make_unique<Recorder>(*module);
    const auto started = module->start();
    ASSERT_TRUE(started) << started.error().to_string();
  }
  void push(stream::Delivery delivery, int deadline_ms = 30'000) {
    const auto pushed = module->push(std::move(delivery), deadline_ms);
    EXPECT_TRUE(pushed) << pushed.error().message;
  }
  void push_frames(Writer& writer, int frames, std::string_view picture = "ok", bool key_first = true) {
    for (int i = 0; i < frames; ++i) push(writer.frame(key_first && i == 0, picture));
  }
  // Its first result is out: what comes next finds it running.
  void go_live(Writer& writer, std::string_view source) {
    push(writer.frame(true));
    ASSERT_TRUE(eventually([&] { return recorder->frames(source) == 1 && is(source, "LIVE"); }));
  }
  bool is(std::string_view source, std::string_view state) { return state_of(*module, source) == state; }
  // When nothing is under way any more.
  ::testing::AssertionResult is_settled() {
    auto settled = eventually([&] {
      for (const auto& stream : module->status().streams)
        if (stream.in_flight) return false;
      return true;
    });
    return settled ? is_balanced(module->status()) : settled;
  }

  FakeWorld world;
  std::unique_ptr<Module> module;
  std::unique_ptr<Recorder> recorder;
};

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
  EXPECT_EQ(world.builds[1].epoch, 1);
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

// ── sinks ──

TEST_F(RunningModule, F09AStoppedSinkBehavesAsItsPolicySays) {
  for (const QueuePolicy policy :
       {QueuePolicy::drop_oldest, QueuePolicy::drop_to_keyframe, QueuePolicy::block}) {
    SCOPED_TRACE(int(policy));
    auto spec = quick_spec();
    spec.buffers.frames = 8;
    auto stopped = test_sink("stopped", policy, false);
    stopped.queue.records = 16;
    spec.pipeline.sinks = {stopped, test_sink("other", QueuePolicy::block, true)};
    sink_control("stopped").set(SinkControl::Mode::hang);
    start(spec);
    Writer cam("cam");
    const int frames = 400;
    std::jthread writing([&] { push_frames(cam, frames); });
    if (policy == QueuePolicy::block) {
      // What both sinks have is what the blocked one has room for; nothing is lost, and all goes on later.
      ASSERT_TRUE(eventually([&] { return status_of(*module, "cam").queued >= 8; }));
      sink_control("stopped").set(SinkControl::Mode::store);
      writing.join();
      ASSERT_TRUE(eventually([&] { return sink_control("stopped").frames == uint64_t(frames); }));
      EXPECT_EQ(module->status().sinks[0].dropped, 0u);
    } else {
      writing.join();
    }
    ASSERT_TRUE(eventually([&] { return sink_control("other").frames == uint64_t(frames); }));
    ASSERT_TRUE(is_settled());
    EXPECT_EQ(status_of(*module, "cam").stored, uint64_t(frames));
    if (policy != QueuePolicy::block) {
      // One batch is in the sink's hands, one queue waits; the rest is counted.
      const auto sinks = module->status().sinks;
      EXPECT_GE(sinks[0].dropped, uint64_t(frames) - 64);
      EXPECT_EQ(sinks[0].dropped + sinks[0].queued, uint64_t(frames) + 2);  // with two StreamUpdates
      EXPECT_TRUE(module->health().live);
    }
    const auto before = std::chrono::steady_clock::now();
    (void)module->shutdown({.deadline_ms = 200});
    EXPECT_LT(std::chrono::steady_clock::now() - before, 20s);
    recorder.reset();
    module.reset();
    forget_sink_controls();
  }
}

TEST_F(RunningModule, F09SpillsToDiskAndDeliversLater) {
  const auto folder = std::filesystem::temp_directory_path() / std::format("sightglass-spill-{}", getpid());
  auto spec = quick_spec();
  spec.storage.spill = folder;
  auto stopped = test_sink("stopped", QueuePolicy::spill, true);
  stopped.queue.records = 8;
  spec.pipeline.sinks = {stopped};
  sink_control("stopped").set(SinkControl::Mode::hang);
  start(spec);
  Writer cam("cam");
  push_frames(cam, 100);
  // A spilled record counts as stored.
  ASSERT_TRUE(eventually([&] { return status_of(*module, "cam").stored >= 80; }));
  EXPECT_GT(module->status().sinks[0].spilled_bytes, 0u);
  sink_control("stopped").set(SinkControl::Mode::store);
  ASSERT_TRUE(eventually([&] { return sink_control("stopped").frames == 100; }));
  int64_t next = 0;
  for (const auto& record : sink_control("stopped").records)
    if (record->kind == RecordKind::frame) {
      EXPECT_EQ(record->seq, next++);
      EXPECT_EQ(record->results.regions.size(), 1u);
    }
  EXPECT_TRUE(is_settled());
  recorder.reset();
  module.reset();
  std::filesystem::remove_all(folder);
}

TEST_F(RunningModule, F09FramesThatWaitForASinkAreNoSilence) {
  auto spec = quick_spec();
  spec.streams.stall_after = 20 * ms;  // 200 ms at 25 frames a second
  spec.streams.idle_timeout = 20 * ms;
  auto stopped = test_sink("stopped", QueuePolicy::block, false);
  stopped.queue.records = 4;
  spec.pipeline.sinks = {stopped};
  sink_control("stopped").set(SinkControl::Mode::hang);
  start(spec);
  Writer cam("cam");
  go_live(cam, "cam");
  push_frames(cam, 60, "ok", false);
  EXPECT_FALSE(eventually([&] { return !is("cam", "LIVE"); }, 800ms));
  EXPECT_GT(status_of(*module, "cam").queued, 0u);
  sink_control("stopped").set(SinkControl::Mode::store);
  ASSERT_TRUE(eventually([&] { return sink_control("stopped").frames == 61; }));
  EXPECT_NE(recorder->story("cam").find("blocked"), std::string::npos);
}

TEST_F(RunningModule, F09ACancelledShutdownKeepsWhatIsOnDisk) {
  const auto folder = std::filesystem::temp_directory_path() / std::format("sightglass-cancel-{}", getpid());
  auto spec = quick_spec();
  spec.storage.spill = folder;
  auto stopped = test_sink("stopped", QueuePolicy::spill, true);
  stopped.queue.records = 8;
  spec.pipeline.sinks = {stopped};
  sink_control("stopped").set(SinkControl::Mode::hang);
  start(spec);
  Writer cam("cam");
  push_frames(cam, 100);
  ASSERT_TRUE(eventually([&] { return recorder->frames() == 100; }));
  EXPECT_EQ(module->shutdown({.deadline_ms = 50}).exit_code, 3);
  const uint64_t on_disk = status_of(*module, "cam").stored;
  EXPECT_GE(on_disk, 80u);
  // Once more, with what has been read back from the disk in the sink's hands.
  const auto again = [&] {
    recorder.reset();
    module.reset();
    forget_sink_controls();
  };
  again();
  sink_control("stopped").set(SinkControl::Mode::hang);
  start(spec);
  ASSERT_TRUE(eventually([&] { return module->status().sinks[0].queued_bytes > 0; }));
  const auto outcome = module->shutdown({.deadline_ms = 50});
  EXPECT_EQ(outcome.exit_code, 3);
  ASSERT_EQ(outcome.missing.size(), 1u);
  EXPECT_TRUE(outcome.missing[0].starts_with("sink stopped: ")) << outcome.missing[0];
  again();
  start(spec);
  ASSERT_TRUE(eventually([&] { return sink_control("stopped").frames == on_disk; }));
  recorder.reset();
  module.reset();
  std::filesystem::remove_all(folder);
}

TEST_F(RunningModule, ASinkThatHangsTakesNoTimeFromTheOthersAtTheEnd) {
  auto spec = quick_spec();
  spec.pipeline.sinks = {test_sink("stopped"), test_sink("other")};
  sink_control("stopped").set(SinkControl::Mode::hang);
  start(spec);
  ASSERT_TRUE(module->act_on_sink("other", "pause"));
  Writer cam("cam");
  push_frames(cam, 60);
  ASSERT_TRUE(eventually([&] { return recorder->frames() == 60; }));
  const auto outcome = module->shutdown({.deadline_ms = 10});
  EXPECT_EQ(sink_control("other").frames, 60u);
  EXPECT_EQ(outcome.exit_code, 3);
  ASSERT_EQ(outcome.missing.size(), 1u);
  EXPECT_TRUE(outcome.missing[0].starts_with("sink stopped: "));
  EXPECT_EQ(module->status().sinks.size(), 2u);
}

TEST_F(RunningModule, NowStoresWhatHasComeOut) {
  auto spec = quick_spec();
  spec.pipeline.sinks = {test_sink("store")};
  sink_control("store").set(SinkControl::Mode::hang);
  start(spec);
  Writer cam("cam");
  push_frames(cam, 20);
  ASSERT_TRUE(eventually([&] { return recorder->frames() == 20; }));
  std::jthread later([] {
    std::this_thread::sleep_for(1500ms);
    sink_control("store").set(SinkControl::Mode::store);
  });
  const auto outcome = module->shutdown({.mode = ShutdownMode::now});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(sink_control("store").frames, 20u);
}

TEST_F(RunningModule, DeadLettersAreFiledAndCounted) {
  const auto folder = std::filesystem::temp_directory_path() / std::format("sightglass-letters-{}", getpid());
  auto spec = quick_spec();
  spec.pipeline.sinks = {test_sink("store")};
  spec.pipeline.sinks[0].properties.set("dead_letter", folder.string());
  sink_control("store").set(SinkControl::Mode::refuse);
  start(spec);
  Writer cam("cam");
  auto settlement = std::make_shared<CountedSettlement>();
  cam.settlement = settlement;
  push_frames(cam, 3);
  ASSERT_TRUE(eventually([&] { return settlement->processes == 3; }));  // not sent again for ever
  ASSERT_TRUE(is_settled());
  EXPECT_EQ(module->status().sinks[0].dead_letters, 3u);
  EXPECT_EQ(dropped(status_of(*module, "cam"), "sink"), 3u);
  EXPECT_GT(std::filesystem::file_size(folder / "store.jsonl"), 0u);
  std::filesystem::remove_all(folder);
}

TEST_F(RunningModule, SinksArePausedAndFiltered) {
  auto spec = quick_spec();
  auto keys = test_sink("keys");
  Value keyframe = Value::map(), frame = Value::map();
  keyframe.set("keyframe", true);
  frame.set("frame", keyframe);
  keys.when = frame;
  spec.pipeline.sinks = {keys};
  start(spec);
  ASSERT_TRUE(module->act_on_sink("keys", "pause"));
  EXPECT_FALSE(module->act_on_sink("nobody", "pause"));
  EXPECT_FALSE(module->act_on_sink("keys", "explode"));
  Writer cam("cam");
  push_frames(cam, 3);
  push(cam.end());
  ASSERT_TRUE(eventually([&] { return is("cam", "ABSENT"); }));
  ASSERT_TRUE(module->act_on_sink("keys", "resume"));
  ASSERT_TRUE(eventually([&] {
    const std::scoped_lock lock(sink_control("keys").mutex);
    return !sink_control("keys").records.empty() &&
           sink_control("keys").records.back()->kind == RecordKind::end_of_stream;
  }));
  EXPECT_EQ(sink_control("keys").frames, 0u);  // the fake has no encoded output, hence no keyframes
  EXPECT_TRUE(is_settled());
}

// ── parameters, health ──

TEST_F(RunningModule, AppliesParametersEverywhereOrNowhere) {
  auto spec = quick_spec();
  spec.storage.state = std::filesystem::temp_directory_path() / std::format("sightglass-state-{}", getpid());
  ParameterSpec threshold{.type = ParameterType::number, .default_value = 0.5};
  spec.parameters = {{"threshold", threshold}};
  start(spec);
  Writer a("a"), b("b");
  push_frames(a, 1);
  push_frames(b, 1);
  ASSERT_TRUE(eventually([&] { return recorder->frames() == 2; }));
  auto done = module->parameters().change(
      {{.layer = Layer::http, .name = "threshold", .source_id = {}, .value = Value(0.6), .persist = false}},
      "test");
  EXPECT_EQ(done.result, ChangeResult::applied);
  EXPECT_EQ(world.parameters_set, 2);
  const auto revision = module->status().revision;
  world.refuses_parameters = true;
  done = module->parameters().change(
      {{.layer = Layer::http, .name = "threshold", .source_id = {}, .value = Value(0.7), .persist = false}},
      "test");
  EXPECT_NE(done.result, ChangeResult::applied);
  EXPECT_EQ(module->status().revision, revision);
  std::filesystem::remove_all(spec.storage.state);
}

TEST_F(RunningModule, F13IsNotReadyWhileFramesDoNotMoveAndReadyWhileNothingComes) {
  auto spec = quick_spec();
  spec.telemetry.flow_timeout = 100 * ms;
  start(spec);
  EXPECT_TRUE(module->health().ready);
  Writer a("a"), b("b");
  push_frames(a, 1);
  push_frames(b, 1);
  ASSERT_TRUE(eventually([&] { return recorder->frames() == 2; }));
  EXPECT_TRUE(module->health().ready);
  push_frames(a, 1, "mute", false);
  push_frames(b, 1, "mute", false);
  ASSERT_TRUE(eventually([&] { return !module->health().ready; }, 4s));
  const auto health = module->health();
  EXPECT_TRUE(health.live);
  ASSERT_FALSE(health.reasons.empty());
  EXPECT_TRUE(health.reasons[0].starts_with("stream a: a frame is")) << health.reasons[0];
  EXPECT_TRUE(module->act("a", StreamAction::quarantine));
  EXPECT_TRUE(module->act("b", StreamAction::quarantine));
  ASSERT_TRUE(eventually([&] { return module->health().ready; }));
}

TEST_F(RunningModule, AFunctionThatHangsIsNotLive) {
  start();
  world.hang_seconds = 29;
  EXPECT_TRUE(module->health().live);
  world.hang_seconds = 31;
  const auto health = module->health();
  EXPECT_FALSE(health.live);
  ASSERT_EQ(health.reasons.size(), 1u);
  EXPECT_EQ(health.reasons[0], "element code: its function has not come back for 31 s");
}

TEST_F(RunningModule, RulesThatOnlyTheTableReadsNeedARestart) {
  auto spec = quick_spec();
  spec.storage.state = std::filesystem::temp_directory_path() / std::format("sightglass-state-{}", getpid());
  ParameterSpec number{.type = ParameterType::integer, .default_value = Value(4)};
  spec.parameters = {{"places", number}, {"rate", number}};
  spec.stream_values = Value::map();
  spec.stream_values.set("max_streams", "${parameters.places}");
  spec.stream_values.set("priority", "${parameters.rate}");
  start(spec);
  EXPECT_EQ(module->parameters().change({{Layer::http, "places", "", Value(5), false}}, "test").result,
            ChangeResult::needs_restart);
  EXPECT_EQ(module->parameters().change({{Layer::http, "rate", "", Value(5), false}}, "test").result,
            ChangeResult::applied);
  recorder.reset();
  module.reset();
  std::filesystem::remove_all(spec.storage.state);
}

TEST_F(RunningModule, F13ABlockedRequiredSinkMakesTheModuleUnready) {
  auto spec = quick_spec();
  spec.telemetry.flow_timeout = 50 * ms;
  spec.pipeline.sinks = {test_sink("store")};
  sink_control("store").set(SinkControl::Mode::fail);
  start(spec);
  Writer cam("cam");
  push_frames(cam, 1);
  ASSERT_TRUE(eventually([&] {
    for (const auto& reason : module->health().reasons)
      if (reason.starts_with("sink store: nothing stored")) return true;
    return false;
  }));
  sink_control("store").set(SinkControl::Mode::store);
  ASSERT_TRUE(eventually([&] { return module->health().ready; }));
}

TEST_F(RunningModule, F04GivesPlacesBack) {
  auto spec = quick_spec();
  spec.streams.max_streams = 2;
  spec.streams.stall_after = 5 * ms;
  spec.streams.idle_timeout = 10 * ms;
  start(spec);
  for (int i = 0; i < 20; ++i) {
    // A place is free, or its owner idle.
    ASSERT_TRUE(eventually([&] {
      const auto streams = module->status().streams;
      return std::ranges::count_if(streams, holds_its_place) <= 1;
    }));
    Writer cam(std::format("one-{}", i));
    push(cam.frame(true));
    if (i % 2) push(cam.end());
    ASSERT_TRUE(eventually([&] { return recorder->frames(std::format("one-{}", i)) == 1; }));
  }
  ASSERT_TRUE(eventually([&] { return world.alive == 0; }));
  // Many at once: some are refused, and each refusal is counted.
  const auto refused = module->status().refused_streams;
  std::vector<Writer> crowd;
  for (int i = 0; i < 20; ++i) crowd.emplace_back(std::format("crowd-{}", i));
  for (auto& cam : crowd) push(cam.frame(true));
  ASSERT_TRUE(eventually([&] {
    size_t served = 0;
    for (int i = 0; i < 20; ++i) served += recorder->frames(std::format("crowd-{}", i));
    return served + module->status().refused_streams - refused == 20;
  }));
  EXPECT_TRUE(is_settled());
}

// Random messages, faults and operators on several threads: the books balance at every moment, and in the end
// nothing is left.
TEST_F(RunningModule, KeepsItsBooksUnderRandomFaults) {
  auto spec = quick_spec();
  spec.streams.max_streams = 4;
  spec.streams.stall_after = 5 * ms;
  spec.streams.idle_timeout = 10 * ms;
  spec.streams.drain_timeout = 30 * ms;
  spec.streams.start_timeout = 50 * ms;
  spec.streams.quarantine_initial = 2 * ms;
  spec.buffers.frames = 8;
  spec.pipeline.sinks = {test_sink("store"), test_sink("lossy", QueuePolicy::drop_oldest, true)};
  spec.pipeline.sinks[1].queue.records = 4;
  start(spec);
  std::vector<std::jthread> writers;
  for (unsigned number = 0; number < 6; ++number)
    writers.emplace_back([&, number] {
      std::minstd_rand random(number + 1);
      Writer cam(std::format("cam-{}", number));
      static constexpr const char* pictures[] = {"ok",   "ok",   "ok",   "ok", "hold",
                                                 "none", "drop", "mute", "bad"};
      for (int i = 0; i < 400; ++i) {
        switch (random() % 40) {
          case 0:
            cam.lose(2);
            break;
          case 1:
            (void)module->push(cam.end(), 50);
            break;
          case 2:
            cam.set_codec(random() % 2 ? "h264" : "hevc");
            break;
          case 3:
            (void)module->act(std::format("cam-{}", number), StreamAction(random() % 5));
            break;
          case 4:
            (void)module->push(cam.user_data(), 50);
            break;
          case 5:
            sink_control("store").set(random() % 2 ? SinkControl::Mode::fail : SinkControl::Mode::store);
            break;
          default:
            (void)module->push(cam.frame(random() % 8 == 0, pictures[random() % std::size(pictures)]), 50);
        }
      }
    });
  std::atomic<bool> done{false};
  std::jthread watcher([&] {
    while (!done) {
      const auto balanced = is_balanced(module->status());
      ASSERT_TRUE(balanced) << balanced.message();
    }
  });
  writers.clear();
  sink_control("store").set(SinkControl::Mode::store);
  world.let_go();
  (void)module->shutdown({.deadline_ms = 5000});
  done = true;
  watcher.join();
  const auto status = module->status();
  EXPECT_TRUE(is_balanced(status));
  for (const auto& stream : status.streams) EXPECT_EQ(stream.in_flight, 0u) << stream.id;
  EXPECT_EQ(world.alive, 0);
}

}  // namespace
}  // namespace sightglass::module::testing
