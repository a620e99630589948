// Sinks of the running module: what a slow one, one that hangs and one that refuses do to the others.
#include <algorithm>

#include "sightglass/module/running_module.h"

namespace sightglass::module::testing {
namespace {

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

}  // namespace
}  // namespace sightglass::module::testing
