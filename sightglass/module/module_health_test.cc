// Parameters and health of the running module, and its books under random faults.
#include <algorithm>

#include "sightglass/module/running_module.h"

namespace sightglass::module::testing {
namespace {

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

TEST_F(RunningModule, IsNotReadyWhileEveryRunOfAModelFails) {
  start();
  const int64_t now = std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
  world.failed_ns = now;
  world.failed_runs = 4;
  EXPECT_TRUE(module->health().ready) << "one broken picture fails twice: in its batch and alone";
  world.failed_runs = 7;
  const auto health = module->health();
  EXPECT_TRUE(health.live);
  EXPECT_FALSE(health.ready);
  ASSERT_EQ(health.reasons.size(), 1u);
  EXPECT_EQ(health.reasons[0], "model faces: its last 7 runs failed: the device is gone");
  world.failed_ns = now - 61'000'000'000;
  EXPECT_TRUE(module->health().ready) << "nobody has tried for a while";
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
  crowd.reserve(20);
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
  writers.reserve(6);
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
