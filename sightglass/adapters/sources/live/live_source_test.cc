// LiveSource with an input that does what the test says.
#include "sightglass/adapters/sources/live/live_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "sightglass/adapters/sources/live/live_test_support.h"

namespace sightglass::adapters {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// What a camera sends, over all of its connections.
class Camera {
 public:
  struct Step {
    enum class What { key, delta, gap, breaks, ends } what;
  };
  void send(std::initializer_list<Step::What> steps) {
    const std::lock_guard lock(mutex_);
    for (const auto what : steps) steps_.push_back({what});
    changed_.notify_all();
  }
  MakeLiveInput input() {
    return [this] {
      ++connections;
      return std::make_shared<Input>(*this);
    };
  }
  std::atomic<int> connections = 0;
  std::atomic<bool> refuses = false;
  std::atomic<int> requests = 0;  // of keyframes

 private:
  class Input final : public LiveInput {
   public:
    explicit Input(Camera& camera) : camera_(camera) {}
    Status open() override {
      if (camera_.refuses) return fail(ErrorCode::io, "nobody listens");
      return {};
    }
    Result<std::optional<LiveUnit>> next() override {
      std::unique_lock lock(camera_.mutex_);
      camera_.changed_.wait(lock, [&] { return is_cancelled_ || !camera_.steps_.empty(); });
      if (is_cancelled_) return fail(ErrorCode::cancelled, "cancelled");
      const Step step = camera_.steps_.front();
      camera_.steps_.pop_front();
      if (step.what == Step::What::ends) return std::nullopt;
      if (step.what == Step::What::breaks) return fail(ErrorCode::io, "the cable is out");
      static const auto info = std::make_shared<const MediaInfo>(
          MediaInfo{.codec = "h264", .width = 64, .height = 48, .time_base = {1, 1000}});
      LiveUnit unit{.info = info};
      unit.unit.pts = 40 * ++count_;
      unit.unit.keyframe = step.what == Step::What::key;
      unit.gap = step.what == Step::What::gap;
      unit.unit.payload = stream::own({0, 0, 0, 1, 0x65});
      return unit;
    }
    void cancel() override {
      const std::lock_guard lock(camera_.mutex_);
      is_cancelled_ = true;
      camera_.changed_.notify_all();
    }
    void request_keyframe() override { ++camera_.requests; }

   private:
    Camera& camera_;
    bool is_cancelled_ = false;
    int64_t count_ = 0;
  };
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Step> steps_;
};
using enum Camera::Step::What;

// "K d K" for frames, "!" for a discontinuity, "E" for an end.
std::string said(const Collected& out) {
  std::string text;
  for (const auto& each : out.all()) {
    const auto& message = *each.message;
    if (message.frame) text += message.frame->keyframe ? 'K' : 'd';
    if (message.stream_update && message.stream_update->discontinuity) text += '!';
    if (message.end_of_stream) text += 'E';
  }
  return text;
}

class LiveSources : public testing::Test {
 protected:
  LiveSources() {
    params.source_id = "cam";
    params.retry_initial = params.retry_max = 0.02;
  }
  ~LiveSources() override { stop(); }
  void start(bool ends = false) {
    source = std::make_unique<LiveSource>(params, camera.input(), ends);
    thread = std::jthread([this](const std::stop_token& token) { EXPECT_TRUE(source->run(out, token)); });
  }
  void stop() {
    if (!thread.joinable()) return;
    thread.request_stop();
    out.close();
    thread.join();
  }
  bool says(const std::string& text) {
    return RunningSource::wait([&] { return said(out) == text; }) >= 0;
  }
  SourceStatus status() const { return source->status().at(0); }
  bool is(SourceState state) const {
    return RunningSource::wait([&] { return status().state == state; }) >= 0;
  }

  LiveParams params;
  Camera camera;
  Collected out;
  std::unique_ptr<LiveSource> source;
  std::jthread thread;
};

TEST_F(LiveSources, BeginsAtAKeyframeAndAsksForOne) {
  start();
  camera.send({delta, delta, key, delta});
  EXPECT_TRUE(says("Kd"));
  EXPECT_EQ(source->rejected()["source_no_keyframe"], 2u);
  EXPECT_GE(camera.requests, 1);
}

TEST_F(LiveSources, WaitsForAKeyframeBehindAGap) {
  start();
  camera.send({key, delta, gap, delta, key, delta});
  EXPECT_TRUE(says("Kd!Kd"));
}

TEST_F(LiveSources, ConnectsAgainWithoutAnEnd) {
  start();
  camera.send({key, delta, breaks, delta, key, delta});
  EXPECT_TRUE(says("Kd!Kd"));
  EXPECT_EQ(status().reconnects, 1u);
  EXPECT_EQ(status().state, SourceState::running);
  EXPECT_THAT(status().last_error, HasSubstr("the cable is out"));
  // Times go on, although those of the camera begin anew.
  int64_t last = -1;
  for (const auto& each : out.all())
    if (each.message->frame) {
      EXPECT_GT(each.message->frame->pts, last);
      last = each.message->frame->pts;
    }
}

TEST_F(LiveSources, EndsWithEachConnectionWhereThatIsWished) {
  params.eos_on_reconnect = true;
  start();
  camera.send({key, ends, key, delta});
  EXPECT_TRUE(says("KEKd"));
  EXPECT_EQ(out.all().back().message->epoch, 1);
}

TEST_F(LiveSources, SilentConnectionIsGivenUp) {
  params.stall_after = 0.1;
  start();
  camera.send({key, delta});
  EXPECT_TRUE(is(SourceState::stalled));
  EXPECT_THAT(status().last_error, HasSubstr("nothing has come"));
  ASSERT_GE(RunningSource::wait([&] { return camera.connections >= 2; }), 0);
  camera.send({key});
  EXPECT_TRUE(says("Kd!K"));
}

TEST_F(LiveSources, SilentConnectionIsGivenUpThoughASlowSinkIsBusyWithWhatCameBefore) {
  params.stall_after = 0.1;
  params.queue = 64;
  out.take_time(std::chrono::milliseconds(50));
  start();
  camera.send({key,   delta, delta, delta, delta, delta, delta, delta, delta, delta,
               delta, delta, delta, delta, delta, delta, delta, delta, delta, delta});
  ASSERT_GE(RunningSource::wait([&] { return camera.connections >= 2; }), 0);
  EXPECT_THAT(status().last_error, HasSubstr("nothing has come"));
}

TEST_F(LiveSources, TriesForEver) {
  camera.refuses = true;
  params.start_timeout = 0.1;
  start();
  ASSERT_GE(RunningSource::wait([&] { return camera.connections >= 10; }), 0);
  EXPECT_TRUE(is(SourceState::stalled));
  EXPECT_THAT(status().last_error, HasSubstr("nobody listens"));
  camera.refuses = false;
  camera.send({key});
  EXPECT_TRUE(is(SourceState::running));
}

TEST_F(LiveSources, FullQueueDropsUpToTheNextKeyframe) {
  params.queue = 4;
  params.block_after = 0.1;
  start();
  camera.send({key, delta});
  ASSERT_TRUE(says("Kd"));
  out.block(true);
  camera.send({delta});
  EXPECT_TRUE(is(SourceState::blocked));  // with this one
  camera.send({delta, delta, delta, delta, delta, delta, key, delta});
  ASSERT_GE(RunningSource::wait([&] { return source->rejected()["source_queue_full"] == 5; }), 0);
  EXPECT_EQ(source->rejected()["source_no_keyframe"], 1u);
  out.block(false);
  // What stood in the queue is of no use any more.
  EXPECT_TRUE(says("Kdd!Kd"));
  EXPECT_EQ(camera.connections, 1);
}

TEST_F(LiveSources, RecordingBlocksInsteadAndEnds) {
  params.queue = 2;
  params.queue_policy = LiveParams::Policy::block;
  params.block_after = 0.1;
  out.block(true);
  start(true);
  camera.send({key, delta, delta, delta, delta, delta, delta, ends});
  EXPECT_TRUE(is(SourceState::blocked));
  out.block(false);
  EXPECT_TRUE(says("KddddddE"));
  EXPECT_TRUE(is(SourceState::ended));
}

TEST_F(LiveSources, RecordingGoesOnWhereItsConnectionBroke) {
  params.queue_policy = LiveParams::Policy::block;
  params.eos_on_reconnect = true;
  start(true);
  camera.send({key, delta, breaks, delta, delta, ends});
  EXPECT_TRUE(says("KdddE"));
  EXPECT_EQ(source->rejected()["source_no_keyframe"], 0u);
}

TEST_F(LiveSources, StopsWhileItIsBlocked) {
  params.block_after = 0.1;
  out.block(true);
  start();
  camera.send({key, delta});
  ASSERT_TRUE(is(SourceState::blocked));
  const auto begin = std::chrono::steady_clock::now();
  stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  EXPECT_EQ(status().state, SourceState::ended);
}

TEST_F(LiveSources, StopsWhileItConnects) {
  params.retry_initial = params.retry_max = 3600;
  camera.refuses = true;
  start();
  ASSERT_GE(RunningSource::wait([&] { return !status().last_error.empty(); }), 0);
  stop();
  EXPECT_EQ(status().state, SourceState::ended);
}

}  // namespace
}  // namespace sightglass::adapters
