// The running module with its real pipelines, without models: streams that come, go, change and break beside
// others that have to go on as if nothing had happened.
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <random>

#include "sightglass/adapters/sources/access_units.h"
#include "sightglass/adapters/sources/frame_messages.h"
#include "sightglass/module/running_module.h"
#include "tests/long_form.h"

namespace sightglass::module::testing {
namespace {

// ./run test --long
using test::is_long;
using test::lasting;

constexpr int width = 64, height = 48;
const std::string grey(size_t(width* height * 3 / 2), char(128));  // I420

// A stream of raw pictures, which needs no decoder.
class RawWriter : public Writer {
 public:
  explicit RawWriter(std::string id) : Writer(std::move(id), "raw", width, height) {}
  stream::Delivery picture() { return picture_of_size(grey); }
  stream::Delivery picture_of_size(std::string_view bytes) {
    auto delivery = frame(true, bytes);
    auto message = std::make_shared<stream::Message>(*delivery.message);
    message->frame->raw.emplace().format = "I420";
    delivery.message = std::move(message);
    return delivery;
  }
};

// All access units of a file in the test data; none without it.
struct Video {
  adapters::MediaInfo info;
  std::vector<adapters::AccessUnit> units;
};
std::optional<Video> video(std::string_view name, size_t most) {
  const char* folder = std::getenv("SIGHTGLASS_TEST_DATA");
  if (!folder) return std::nullopt;
  auto opened = adapters::AccessUnits::open(std::filesystem::path(folder) / "media" / name);
  if (!opened) return std::nullopt;
  Video read{.info = (*opened)->info(), .units = {}};
  while (read.units.size() < most) {
    auto unit = (*opened)->next();
    if (!unit || !*unit) break;
    read.units.push_back(std::move(**unit));
  }
  return read;
}

class ModuleStreams : public ModuleFixture {};

// Three streams of raw pictures at 50 frames a second each, watched for gaps between their results.
class SteadyStreams {
 public:
  static constexpr auto step = 20ms;

  SteadyStreams(Module& module, int count = 3) : module_(module) {
    for (int i = 0; i < count; ++i) ids_.push_back(std::format("steady-{}", i));
    arrivals_.resize(ids_.size());
    subscription_ = module.subscribe([this](const RecordRef& record) {
      if (record->kind != RecordKind::frame) return;
      const auto id = std::ranges::find(ids_, record->source_id);
      if (id == ids_.end()) return;
      const std::scoped_lock lock(mutex_);
      arrivals_[size_t(id - ids_.begin())].push_back(steady_now_ns());
    });
    for (const auto& id : ids_)
      threads_.emplace_back([this, id](const std::stop_token& stop) {
        RawWriter cam(id);
        auto next = std::chrono::steady_clock::now();
        while (!stop.stop_requested()) {
          if (module_.push(cam.picture(), 30'000)) ++sent_;
          next += step;
          std::this_thread::sleep_until(next);
        }
      });
  }
  void stop() {
    for (auto& thread : threads_) thread.request_stop();
    threads_.clear();
  }
  // The longest time without a result, over all; how long this process was kept waiting at most by others is
  // not for the module to answer, so it is measured beside and told apart.
  double longest_gap() const {
    const std::scoped_lock lock(mutex_);
    int64_t longest = 0;
    for (const auto& times : arrivals_)
      for (size_t i = 1; i < times.size(); ++i) longest = std::max(longest, times[i] - times[i - 1]);
    return double(longest) / 1e9;
  }
  size_t results() const {
    const std::scoped_lock lock(mutex_);
    size_t sum = 0;
    for (const auto& times : arrivals_) sum += times.size();
    return sum;
  }
  size_t sent() const { return sent_; }
  const std::vector<std::string>& ids() const { return ids_; }

 private:
  Module& module_;
  std::vector<std::string> ids_;
  mutable std::mutex mutex_;
  std::vector<std::vector<int64_t>> arrivals_;
  std::atomic<size_t> sent_{0};
  std::unique_ptr<Subscription> subscription_;
  std::vector<std::jthread> threads_;
};

// How long a thread that only sleeps is kept from running: the noise of the machine.
class Noise {
 public:
  Noise()
      : thread_([this](const std::stop_token& stop) {
          auto last = steady_now_ns();
          while (!stop.stop_requested()) {
            std::this_thread::sleep_for(10ms);
            const auto now = steady_now_ns();
            longest_ = std::max<int64_t>(longest_, now - last - 10 * ms);
            last = now;
          }
        }) {}
  double longest() const { return double(longest_) / 1e9; }

 private:
  std::atomic<int64_t> longest_{0};
  std::jthread thread_;
};

// What F-01 and F-05 ask of the streams beside: every frame has come out, without a life of its own being
// touched.
void expect_untouched(SteadyStreams& steady, const Noise& noise, Module& module, const Recorder& recorder) {
  steady.stop();
  ASSERT_TRUE(eventually([&] { return steady.results() == steady.sent(); }))
      << steady.results() << " of " << steady.sent();
  for (const auto& id : steady.ids()) {
    EXPECT_EQ(recorder.states(id), "STARTING LIVE") << id;
    EXPECT_EQ(dropped(status_of(module, id), "queue_full"), 0u);
  }
  EXPECT_LT(steady.longest_gap(), 0.2 + 4 * noise.longest());
  EXPECT_TRUE(is_balanced(module.status()));
}

TEST_F(ModuleStreams, DecodeAFileToItsLastFrame) {
  const auto film = video("people.mp4", 60);
  if (!film) GTEST_SKIP() << "no test data";
  start();
  adapters::FrameMessages messages("cam", stream::make_uuid_v7());
  for (const auto& unit : film->units) push(messages.frame(film->info, unit));
  push(messages.end(stream::EndReason::end));
  ASSERT_TRUE(eventually([&] { return recorder->count(RecordKind::end_of_stream) == 1; }));
  EXPECT_EQ(recorder->frames(), film->units.size());
  const auto records = recorder->records("cam");
  std::vector<Time> times;
  for (const auto& record : records)
    if (record->kind == RecordKind::frame) times.push_back(record->pts);
  EXPECT_TRUE(std::ranges::is_sorted(times));
  EXPECT_EQ(records.back()->message->end_of_stream->frames, int64_t(film->units.size()));
  EXPECT_TRUE(is_balanced(module->status()));
  const auto status = status_of(*module, "cam");
  EXPECT_EQ(status.stored, film->units.size());
  EXPECT_EQ(status.in_flight, 0u);
}

TEST_F(ModuleStreams, L11ChangeOfSizeAndCodecLosesNothing) {
  const auto film = video("people.mp4", 30), other = video("one-by-one-person-detection.mp4", 20);
  if (!film || !other) GTEST_SKIP() << "no test data";
  start();
  adapters::FrameMessages messages("cam", stream::make_uuid_v7());
  for (const auto& unit : film->units) push(messages.frame(film->info, unit));
  for (const auto& unit : other->units) push(messages.frame(other->info, unit, 1'000'000));
  const size_t all = film->units.size() + other->units.size();
  push(messages.end(stream::EndReason::end));
  ASSERT_TRUE(eventually([&] { return recorder->count(RecordKind::end_of_stream) == 1; }));
  EXPECT_EQ(recorder->frames(), all);
  EXPECT_TRUE(recorder->states("cam").contains("SWITCHING")) << recorder->states("cam");
  EXPECT_TRUE(is_balanced(module->status()));
}

TEST_F(ModuleStreams, L12TakeANewSizeOfRawPicturesInTheSameInstance) {
  start();
  RawWriter cam("cam");
  for (int i = 0; i < 3; ++i) push(cam.picture());
  cam.set_size(32, 16);
  const std::string small(32 * 16 * 3 / 2, 'x');
  for (int i = 0; i < 3; ++i) push(cam.picture_of_size(small));
  ASSERT_TRUE(eventually([&] { return recorder->frames() == 6; }));
  EXPECT_EQ(recorder->states("cam"), "STARTING LIVE");
  EXPECT_EQ(recorder->records("cam").back()->epoch, 1);
}

TEST_F(ModuleStreams, F01LivesOfOneSourceDoNotTouchTheOthers) {
  start();
  SteadyStreams steady(*module);
  const Noise noise;
  ASSERT_TRUE(eventually([&] { return steady.results() > 30; }));
  RawWriter churn("churn");
  const int lives = is_long() ? 1000 : 50;
  for (int life = 0; life < lives; ++life) {
    for (int i = 0; i < 3; ++i) push(churn.picture());
    push(churn.end());
  }
  ASSERT_TRUE(
      eventually([&] { return recorder->count(RecordKind::end_of_stream, "churn") == size_t(lives); }));
  EXPECT_EQ(recorder->frames("churn"), size_t(lives) * 3);
  expect_untouched(steady, noise, *module, *recorder);
}

size_t resident_kib() {
  malloc_trim(0);
  std::ifstream file("/proc/self/statm");
  size_t all = 0, resident = 0;
  file >> all >> resident;
  return resident * size_t(sysconf(_SC_PAGESIZE)) / 1024;
}
size_t entries_of(const char* folder) {
  return size_t(std::distance(std::filesystem::directory_iterator(folder), {}));
}
size_t open_files() { return entries_of("/proc/self/fd"); }
size_t threads() { return entries_of("/proc/self/task"); }

// KiB (or whatever y counts) per life: the line that fits best.
double slope_of(const std::vector<std::pair<double, double>>& samples) {
  double mean_x = 0, mean_y = 0, xy = 0, xx = 0;
  for (const auto& [x, y] : samples)
    mean_x += x / double(samples.size()), mean_y += y / double(samples.size());
  for (const auto& [x, y] : samples) xy += (x - mean_x) * (y - mean_y), xx += (x - mean_x) * (x - mean_x);
  return xy / xx;
}

TEST_F(ModuleStreams, F02F03MemoryIsFlatAndSpeedIsKeptOverManyLives) {
  start();
  recorder.reset();  // keeps records
  std::atomic<uint64_t> ends{0};
  const auto watching =
      module->subscribe([&](const RecordRef& record) { ends += record->kind == RecordKind::end_of_stream; });
  RawWriter cam("cam");
  uint64_t wanted = 0;
  const auto live = [&] {
    push(cam.picture());
    push(cam.end());
    ++wanted;
    ASSERT_TRUE(eventually([&] { return ends >= wanted; }));
  };
  const int warm_up = 200, lives = is_long() ? 2000 : 300;
  for (int i = 0; i < warm_up; ++i) live();
  ASSERT_TRUE(eventually([&] { return module->status().instances_stopping == 0; }));
  const size_t files = open_files(), tasks = threads();
  std::vector<std::pair<double, double>> resident, in_use;  // life, KiB
  for (int i = 0; i < lives; ++i) {
    live();
    if (i % (lives / 20) != 0) continue;
    ASSERT_TRUE(eventually([&] { return module->status().instances_stopping == 0; }));
    resident.emplace_back(i, double(resident_kib()));
    in_use.emplace_back(i, double(mallinfo2().uordblks) / 1024);
  }
  RecordProperty("kib_per_life", std::to_string(slope_of(resident)));
  RecordProperty("allocated_kib_per_life", std::to_string(slope_of(in_use)));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // One page that comes late weighs more over few lives than over many.
  EXPECT_LE(slope_of(resident), is_long() ? 0.5 : 1.5) << "KiB per life";
  EXPECT_LE(slope_of(in_use), 0.5) << "KiB per life that the allocator has given out";
#endif
  // GStreamer keeps a few threads in its pool.
  EXPECT_TRUE(eventually([&] { return threads() <= tasks + 4; })) << threads() << " threads, " << tasks;
  EXPECT_TRUE(eventually([&] { return open_files() <= files + 2; }))
      << open_files() << " descriptors, " << files << " before";
  // F-03: a stream that runs now is as fast as its frames come.
  SteadyStreams steady(*module, 1);
  ASSERT_TRUE(eventually([&] { return steady.results() >= 100; }));
  steady.stop();
  ASSERT_TRUE(eventually([&] { return steady.results() == steady.sent(); }));
  EXPECT_EQ(module->status().instances_stuck, 0u);
}

TEST_F(ModuleStreams, F04GivePlacesBack) {
  auto spec = quick_spec();
  const int sources = is_long() ? 100 : 20;
  spec.streams.max_streams = is_long() ? 4 : 2;
  spec.streams.stall_after = 20 * ms;
  spec.streams.idle_timeout = 40 * ms;
  start(spec);
  for (int i = 0; i < sources; ++i) {
    ASSERT_TRUE(eventually([&] {
      const auto streams = module->status().streams;
      return std::ranges::count_if(streams, holds_its_place) < int64_t(spec.streams.max_streams);
    }));
    RawWriter cam(std::format("one-{}", i));
    push(cam.picture());
    if (i % 2) push(cam.end());
    ASSERT_TRUE(eventually([&] { return recorder->frames(std::format("one-{}", i)) == 1; })) << i;
  }
  // Each that is not served is refused, and counted.
  const auto refused = module->status().refused_streams;
  std::vector<RawWriter> crowd;
  const int many = sources;
  crowd.reserve(many);
  for (int i = 0; i < many; ++i) crowd.emplace_back(std::format("crowd-{}", i));
  // More than are remembered beside those that hold a place are refused at the door.
  for (auto& cam : crowd) (void)module->push(cam.picture(), 30'000);
  size_t served = 0;
  ASSERT_TRUE(eventually([&] {
    served = 0;
    for (int i = 0; i < many; ++i) served += recorder->frames(std::format("crowd-{}", i));
    return served + module->status().refused_streams - refused == size_t(many);
  })) << served
      << " served, " << module->status().refused_streams - refused << " refused of " << many;
  EXPECT_TRUE(module->health().ready);
  EXPECT_TRUE(is_balanced(module->status()));
}

// One stream per class of error; those that the corpus has many of, each with its own seed.
TEST_F(ModuleStreams, F05BrokenStreamsAreQuarantinedAlone) {
  const auto film = video("people.mp4", 12);
  auto spec = quick_spec();
  spec.streams.start_timeout = 300 * ms;
  spec.streams.max_frame_errors = 3;
  spec.streams.quarantine_initial = 60'000 * ms;
  spec.streams.quarantine_max = 60'000 * ms;
  start(spec);
  SteadyStreams steady(*module);
  const Noise noise;
  std::minstd_rand random(7);
  const auto garbage = [&](size_t size) {
    std::string bytes(size, '\0');
    for (char& byte : bytes) byte = char(random());
    return bytes;
  };
  const std::string start_code("\0\0\0\1", 4), jpeg_head("\xff\xd8\xff\xe0", 4),
      png_head("\x89PNG\r\n\x1a\n", 8);
  struct Broken {
    std::string id, codec, key, delta;
  };
  std::vector<Broken> corpus;
  for (int round = 0; round < (is_long() ? 5 : 1); ++round) {
    const auto name = [&](const char* what) { return std::format("{}-{}", what, round); };
    corpus.push_back({name("h264-garbage"), "h264", garbage(500), garbage(200)});
    corpus.push_back(
        {name("h264-nal-garbage"), "h264", start_code + garbage(500), start_code + garbage(200)});
    corpus.push_back({name("h264-empty"), "h264", "", ""});
    corpus.push_back({name("hevc-garbage"), "hevc", start_code + garbage(600), start_code + garbage(100)});
    corpus.push_back({name("vp8-garbage"), "vp8", garbage(300), garbage(300)});
    corpus.push_back({name("vp9-garbage"), "vp9", garbage(300), garbage(300)});
    corpus.push_back({name("av1-garbage"), "av1", garbage(300), garbage(300)});
    corpus.push_back({name("jpeg-garbage"), "jpeg", garbage(400), garbage(400)});
    corpus.push_back({name("jpeg-cut"), "jpeg", jpeg_head + garbage(40), jpeg_head});
    corpus.push_back({name("png-cut"), "png", png_head + garbage(40), png_head});
    corpus.push_back({name("unknown-codec"), "indeo", garbage(100), garbage(100)});
    corpus.push_back({name("mjpeg-empty"), "mjpeg", "", ""});
  }
  std::vector<std::jthread> threads;
  threads.reserve(corpus.size());
  for (const auto& broken : corpus)
    threads.emplace_back([&] {
      Writer cam(broken.id, broken.codec, width, height);
      for (int i = 0; i < 12; ++i)
        (void)module->push(cam.frame(i % 6 == 0, i % 6 ? broken.delta : broken.key), 5000);
    });
  threads.clear();
  for (const auto& broken : corpus)
    EXPECT_TRUE(eventually([&] { return state_of(*module, broken.id) == "QUARANTINED"; }))
        << broken.id << " is " << state_of(*module, broken.id);
  for (const auto& broken : corpus) {
    EXPECT_FALSE(status_of(*module, broken.id).last_error.empty()) << broken.id;
    EXPECT_EQ(status_of(*module, broken.id).in_flight, 0u) << broken.id;
  }
  expect_untouched(steady, noise, *module, *recorder);
  EXPECT_TRUE(module->health().ready);
}

TEST_F(ModuleStreams, F06TimeThatGoesBackAgainAndAgainKeepsOneEpoch) {
  start();
  RawWriter cam("cam");
  // As of ten minutes with a reset every 2 s, or of ten seconds with one every 0.5 s.
  const int resets = is_long() ? 300 : 20, frames = is_long() ? 50 : 12;
  for (int reset = 0; reset < resets; ++reset) {
    cam.set_pts(0);
    for (int i = 0; i < frames; ++i) push(cam.picture());
  }
  ASSERT_TRUE(eventually([&] { return recorder->frames() == size_t(resets * frames); }));
  EXPECT_EQ(recorder->states("cam"), "STARTING LIVE");
  for (const auto& record : recorder->records("cam")) EXPECT_EQ(record->epoch, 1);
}

// A sink that takes nothing: whatever is in the module stays bounded.
TEST_F(ModuleStreams, F23QueuesAreBounded) {
  auto spec = quick_spec();
  spec.buffers.frames = 16;
  auto blocked = test_sink("blocked", QueuePolicy::block, true);
  blocked.queue.records = 16;
  spec.pipeline.sinks = {blocked};
  sink_control("blocked").set(SinkControl::Mode::hang);
  start(spec);
  recorder.reset();
  std::atomic<bool> is_done{false};
  std::jthread writer([&] {
    RawWriter cam("cam");
    while (!is_done) (void)module->push(cam.picture(), 10);
  });
  const auto waiting = [&] { return dropped(status_of(*module, "cam"), "queue_full"); };
  ASSERT_TRUE(eventually([&] { return waiting() > 20; }));
  const auto full = status_of(*module, "cam").in_flight;
  const size_t memory = resident_kib();
  size_t most = memory;
  const auto before = waiting();
  const auto end = std::chrono::steady_clock::now() + lasting(3600s, 0s);
  do {
    ASSERT_TRUE(eventually([&, more = waiting() + 100] { return waiting() > more; }, 60s));
    most = std::max(most, resident_kib());
  } while (std::chrono::steady_clock::now() < end);
  is_done = true;
  writer.join();
  EXPECT_LE(status_of(*module, "cam").in_flight, full + 2);
  RecordProperty("resident_kib_at_first", int(memory));
  RecordProperty("resident_kib_at_most", int(most));
  RecordProperty("frames_dropped", int(waiting() - before));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(most, memory + 4096);
#endif
  sink_control("blocked").set(SinkControl::Mode::store);
  ASSERT_TRUE(eventually([&] { return status_of(*module, "cam").in_flight == 0; }));
  EXPECT_TRUE(is_balanced(module->status()));
}

}  // namespace
}  // namespace sightglass::module::testing
