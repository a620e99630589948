// For tests: a running module, and all that comes out of it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string_view>
#include <utility>

#include "sightglass/module/runner_test_support.h"

namespace sightglass::module::testing {

// A module and all that comes out of it.
class ModuleFixture : public ::testing::Test {
 protected:
  ~ModuleFixture() override {
    recorder.reset();
    module.reset();
    forget_sink_controls();
  }
  // With instances of its own.
  void start(const ModuleSpec& spec = quick_spec()) { start(spec, {.checks = false}); }
  void start(const ModuleSpec& spec, ModuleHooks hooks) {
    auto made = create_module(spec, std::move(hooks));
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

  std::unique_ptr<Module> module;
  std::unique_ptr<Recorder> recorder;
};

// With instances that do as they are told.
class RunningModule : public ModuleFixture {
 protected:
  ~RunningModule() override {
    recorder.reset();
    module.reset();  // before the world that its instances live in
  }
  void start(const ModuleSpec& spec = quick_spec()) { ModuleFixture::start(spec, fake_hooks(world)); }
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
};

}  // namespace sightglass::module::testing
