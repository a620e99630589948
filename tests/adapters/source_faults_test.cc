// Each server that sources read from is stopped, paused, restarted and answers garbage while 10,000 messages
// flow: none is lost, none is invented, what comes twice has one key, and memory is bounded. mosquitto and
// nginx are real, Kafka is a double that keeps what it acknowledged. Of a camera nothing comes while it is
// away; what comes of it can be decoded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mosquitto.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <format>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "sightglass/adapters/kafka/kafka_test_support.h"
#include "tests/adapters/jumping_clock.h"
#include "tests/adapters/resident.h"
#include "tests/long_form.h"

namespace sightglass::adapters {
namespace {

using test::eventually;
using test::ServerProcess;
using testing::FrameMaker;
using testing::Settings;
using namespace std::chrono_literals;

constexpr size_t messages = 10'000;
constexpr size_t most_growth = 24ull << 20;  // of the memory of this process, meanwhile
constexpr auto fault_lasts = 1500ms;

using Keys = std::map<std::string, int>;  // key of a message → how often it came
using KeyOf = std::function<std::string(const stream::Delivery&)>;

// Takes as many messages as the test lets it, and keeps their keys.
class Gate final : public Deliver {
 public:
  explicit Gate(KeyOf key_of) : key_of_(std::move(key_of)) {}

  bool deliver(stream::Delivery delivery) override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return is_closed_ || order_.size() < allowed_; });
    return take(delivery) == Offer::taken;
  }
  Offer offer(stream::Delivery& delivery) override {
    const std::lock_guard lock(mutex_);
    return !is_closed_ && order_.size() >= allowed_ ? Offer::full : take(delivery);
  }
  std::unique_ptr<Deliver> another() override { return nullptr; }

  void allow(size_t count) {
    const std::lock_guard lock(mutex_);
    allowed_ = count;
    changed_.notify_all();
  }
  void close() {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
    changed_.notify_all();
  }
  Keys keys() const {
    const std::lock_guard lock(mutex_);
    return keys_;
  }
  std::vector<std::string> order() const {  // each key where it came for the first time
    const std::lock_guard lock(mutex_);
    return order_;
  }
  size_t distinct() const {
    const std::lock_guard lock(mutex_);
    return order_.size();
  }
  bool has_ended() const { return has_ended_; }
  size_t growth() const { return memory_.growth(); }

 private:
  Offer take(stream::Delivery& delivery) {
    if (is_closed_) return Offer::closed;
    if (delivery.message->frame || delivery.message->user_data) {
      const std::string key = key_of_(delivery);
      if (++keys_[key] == 1) order_.push_back(key);
      if (order_.size() == messages / 4) memory_.begin();
      if (order_.size() % 100 == 0) memory_.look();
    }
    has_ended_ = has_ended_ || delivery.message->end_of_stream.has_value();
    if (delivery.settlement) delivery.settlement->processed();
    return Offer::taken;
  }

  const KeyOf key_of_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  size_t allowed_ = messages / 4;
  bool is_closed_ = false;
  std::atomic<bool> has_ended_ = false;
  Keys keys_;
  std::vector<std::string> order_;
  test::Resident memory_;
};

// A server with 10,000 messages, and the source that reads them through a proxy.
class Origin {
 public:
  virtual ~Origin() = default;
  virtual const char* source() const = 0;
  virtual Settings options() const = 0;
  virtual KeyOf key_of() const = 0;
  virtual void fill(Gate&) {}  // the source runs already
  virtual std::vector<std::string> expected() = 0;
  virtual bool keeps_order() const { return true; }
  virtual bool has_each_once() const { return false; }
  virtual void kill() { server().kill(); }
  // Answers turn into noise.
  virtual void garble() { proxy().control("set", {{"garbage", true}, {"direction", "down"}}); }
  ServerProcess& server() { return *server_; }
  ServerProcess& proxy() { return proxy_; }

 protected:
  void set(ServerProcess server) {
    server_.emplace(std::move(server));
    proxy_.control("set", {{"to", server_->address()}});
  }
  std::string address() const { return proxy_.address(); }
  const test::TemporaryFolder folder_;

 private:
  ServerProcess proxy_ = ServerProcess::script("fault_proxy.py", {"--to", "127.0.0.1:1"});
  std::optional<ServerProcess> server_;
};

class Kafka final : public Origin {
 public:
  Kafka() {
    set(ServerProcess::script("kafka_double.py", {"--advertise", address(), "--rebalance-delay", "0",
                                                  "--data", (folder_.path() / "data").string()}));
    server().control("topic", {{"topic", "frames"}, {"partitions", 3}});
    auto made =
        testing::make(*find_sink("kafka"), {{"brokers", address()}, {"video-topic", "frames"}}, "writer");
    EXPECT_TRUE(made && (*made)->start());
    std::vector<FrameMaker> makers;
    makers.reserve(6);
    for (int i = 0; i < 6; ++i) makers.emplace_back(std::format("cam-{}", i));
    const std::string picture(1000, 'p');
    std::vector<RecordRef> records;
    for (size_t i = 0; i < messages; ++i) {
      const auto message = makers[i % makers.size()].frame();
      expected_.push_back(stream::to_string(message->frame->uuid));
      records.push_back(testing::record(message, picture));
      if (records.size() < 500) continue;
      std::vector<Stored> outcome(records.size(), Stored::yes);
      const Status written = (*made)->write(records, outcome);
      EXPECT_TRUE(written) << written.error().message;
      EXPECT_THAT(outcome, ::testing::Each(Stored::yes));
      records.clear();
    }
  }
  const char* source() const override { return "kafka"; }
  Settings options() const override {
    return {{"brokers", address()},
            {"topics", "frames"},
            {"commit-interval", "0.05"},
            {"options", "session.timeout.ms=10000,heartbeat.interval.ms=500,socket.timeout.ms=2000"}};
  }
  KeyOf key_of() const override {
    return [](const auto& delivery) { return stream::to_string(delivery.message->frame->uuid); };
  }
  std::vector<std::string> expected() override { return expected_; }
  bool keeps_order() const override { return false; }  // over all sources; partition by partition it does

 private:
  std::vector<std::string> expected_;
};

// The broker keeps what it has for a session when it ends orderly.
class Mqtt final : public Origin {
 public:
  Mqtt() { set(ServerProcess::mosquitto("max_queued_messages 0\n")); }
  const char* source() const override { return "mqtt"; }
  Settings options() const override {
    return {
        {"url", "mqtt://" + address()}, {"topics", "t/#"}, {"client-id", "module-1"}, {"keep-alive", "5"}};
  }
  KeyOf key_of() const override {
    return [](const stream::Delivery& delivery) {
      for (const auto& each : delivery.message->user_data->attributes)
        if (each.name == "n") return std::to_string(std::get<int64_t>(each.values[0].value));
      return std::string("?");
    };
  }
  void fill(Gate& gate) override {
    mosquitto_lib_init();
    std::atomic<size_t> acknowledged = 0;
    mosquitto* const client = mosquitto_new(nullptr, true, &acknowledged);
    mosquitto_publish_callback_set(
        client, [](mosquitto*, void* count, int) { ++*static_cast<std::atomic<size_t>*>(count); });
    mosquitto_connect(client, "127.0.0.1", server().port(), 60);
    mosquitto_loop_start(client);
    const auto publish = [&](size_t number) {
      const std::string text = std::format(R"({{"n": {}, "text": "{}"}})", number, std::string(1000, 't'));
      mosquitto_publish(client, nullptr, "t/a", int(text.size()), text.data(), 1, false);
    };
    // Until the session is there, which keeps what comes.
    EXPECT_TRUE(eventually([&] {
      publish(0);
      return gate.distinct() > 0;
    }));
    const size_t before = acknowledged;
    for (size_t i = 1; i < messages; ++i) publish(i);
    EXPECT_TRUE(eventually([&] { return acknowledged >= before + messages - 1; }));
    mosquitto_disconnect(client);
    mosquitto_loop_stop(client, true);
    mosquitto_destroy(client);
  }
  std::vector<std::string> expected() override {
    std::vector<std::string> numbers;
    numbers.reserve(messages);
    for (size_t i = 0; i < messages; ++i) numbers.push_back(std::to_string(i));
    return numbers;
  }
  void kill() override { server().stop(); }
};

// A video of 10,000 frames, larger than what networks hold.
class HttpFile : public Origin {
 public:
  explicit HttpFile(std::string name, const char* muxer) : name_(std::move(name)) {
    const std::string command = std::format(
        "gst-launch-1.0 -q videotestsrc num-buffers={} pattern=snow ! "
        "video/x-raw,width=128,height=96,framerate=25/1 ! x264enc speed-preset=ultrafast "
        "bitrate=600 key-int-max=25 threads=1 ! h264parse ! {} ! filesink location={} >/dev/null 2>&1",
        messages, muxer, (folder_.path() / name_).string());
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
    set(ServerProcess::nginx(folder_.path()));
  }
  KeyOf key_of() const override {
    return [](const stream::Delivery& delivery) {
      const auto& bytes = delivery.payloads.at(0).bytes;
      const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      return std::format("{:x}", std::hash<std::string_view>()(text));
    };
  }
  // As it is read from the disk.
  std::vector<std::string> expected() override {
    Gate out(key_of());
    out.allow(SIZE_MAX);
    auto source = testing::make(*find_source("video_file"), {{"location", (folder_.path() / name_).string()}},
                                "source");
    EXPECT_TRUE(source && (*source)->start() && (*source)->run(out, {}));
    return out.order();
  }
  bool has_each_once() const override { return true; }
  // What comes in the middle of an answer cannot be told from the file: it is the next answer that is noise.
  void garble() override {
    proxy().control("set", {{"refuse", true}});
    proxy().control("reset");
    proxy().control("set", {{"refuse", false}, {"garbage", true}, {"direction", "down"}});
  }

 protected:
  std::string url() const { return "http://" + address() + "/" + name_; }
  const std::string name_;
};

class VideoFile final : public HttpFile {
 public:
  VideoFile() : HttpFile("film.mp4", "mp4mux faststart=true") {}
  const char* source() const override { return "video_file"; }
  Settings options() const override { return {{"location", url()}}; }
};

class Recording final : public HttpFile {
 public:
  Recording() : HttpFile("film.ts", "mpegtsmux") {}
  const char* source() const override { return "ffmpeg"; }
  Settings options() const override {
    return {{"url", url()}, {"pace", "asap"}, {"retry-initial", "0.1"}, {"retry-max", "0.5"}};
  }
};

struct System {
  const char* name;
  std::unique_ptr<Origin> (*open)();
};
template <class T>
std::unique_ptr<Origin> open() {
  return std::make_unique<T>();
}

class SourceFaults : public ::testing::TestWithParam<System> {
 protected:
  SourceFaults() {
    auto made = testing::make(*find_source(origin_->source()), origin_->options(), "source");
    EXPECT_TRUE(made) << made.error().message;
    source_ = std::move(*made);
    const Status started = source_->start();
    EXPECT_TRUE(started) << started.error().message;
    thread_ = std::jthread([this](const std::stop_token& stop) {
      const Status ended = source_->run(gate_, stop);
      EXPECT_TRUE(ended) << ended.error().message;
    });
    origin_->fill(gate_);
  }
  ~SourceFaults() override {
    thread_.request_stop();
    gate_.close();
  }
  // Part of the messages are there, and the next ones are wanted.
  void reach(size_t part) {
    EXPECT_TRUE(eventually([&] { return gate_.distinct() >= messages * part / 4; })) << gate_.distinct();
    gate_.allow(part == 3 ? SIZE_MAX : gate_.distinct() * (part + 1) / part);
  }
  void expect_all() {
    EXPECT_TRUE(eventually([&] { return gate_.distinct() >= messages; })) << gate_.distinct();
    const auto expected = origin_->expected();
    const std::set<std::string> wanted(expected.begin(), expected.end());
    ASSERT_EQ(wanted.size(), messages);
    size_t repeats = 0, invented = 0;
    for (const auto& [key, times] : gate_.keys()) {
      repeats += size_t(times - 1);
      invented += !wanted.contains(key);
    }
    EXPECT_EQ(invented, 0u);
    EXPECT_EQ(gate_.distinct() - invented, messages) << "lost";
    if (origin_->keeps_order()) {
      EXPECT_TRUE(gate_.order() == expected);
    }
    EXPECT_TRUE(repeats == 0 || !origin_->has_each_once()) << repeats;
    EXPECT_LT(gate_.growth(), most_growth);
    RecordProperty("repeats", int(repeats));
    RecordProperty("grew_by_kib", int(gate_.growth() >> 10));
  }

  std::unique_ptr<Origin> origin_ = GetParam().open();
  ServerProcess& server() { return origin_->server(); }
  Gate gate_{origin_->key_of()};
  std::unique_ptr<Source> source_;
  std::jthread thread_;
};

TEST_P(SourceFaults, ServerIsStoppedForAWhile) {
  for (size_t part = 1; part <= 3; ++part) {
    reach(part);
    if (part == 3) break;
    part == 1 ? server().stop() : origin_->kill();
    std::this_thread::sleep_for(fault_lasts);
    server().restart();
  }
  expect_all();
}

TEST_P(SourceFaults, ServerIsPaused) {
  for (size_t part = 1; part <= 3; ++part) {
    reach(part);
    if (part == 3) break;
    server().pause();
    std::this_thread::sleep_for(2 * fault_lasts);
    server().go_on();
  }
  expect_all();
}

TEST_P(SourceFaults, ServerIsRestartedAgainAndAgain) {
  for (size_t part = 1; part <= 3; ++part) {
    reach(part);
    origin_->kill();
    server().restart();
  }
  expect_all();
}

TEST_P(SourceFaults, ServerAnswersGarbage) {
  for (size_t part = 1; part <= 3; ++part) {
    reach(part);
    if (part == 3) break;
    origin_->garble();
    std::this_thread::sleep_for(fault_lasts);
    origin_->proxy().control("clear");
    origin_->proxy().control("reset");
  }
  expect_all();
}

class SourceClock : public SourceFaults {
 protected:
  test::JumpingClock clock_;
};

TEST_P(SourceClock, JumpsDoNoHarm) {
  for (const auto& [part, by] : {std::pair(1u, 24h), std::pair(2u, -48h), std::pair(3u, 25h)}) {
    reach(part);
    clock_.jump(by);
  }
  expect_all();
}

INSTANTIATE_TEST_SUITE_P(Of, SourceClock,
                         ::testing::Values(System{"Mqtt", &open<Mqtt>}, System{"VideoFile", &open<VideoFile>},
                                           System{"Recording", &open<Recording>}),
                         [](const auto& each) { return each.param.name; });

INSTANTIATE_TEST_SUITE_P(Of, SourceFaults,
                         ::testing::Values(System{"Kafka", &open<Kafka>}, System{"Mqtt", &open<Mqtt>},
                                           System{"VideoFile", &open<VideoFile>},
                                           System{"Recording", &open<Recording>}),
                         [](const auto& each) { return each.param.name; });

// --- a camera

ServerProcess camera(std::vector<std::string> options) {
  options.insert(options.begin(), SIGHTGLASS_RTSP_SERVER);
  return ServerProcess::program(std::move(options));
}

// Frames begin at a keyframe, at first and behind each discontinuity, and times only grow: so none comes
// twice.
class Viewer final : public Deliver {
 public:
  bool deliver(stream::Delivery delivery) override {
    const auto& message = *delivery.message;
    if (message.stream_update) awaits_key_ |= message.stream_update->discontinuity;
    if (!message.frame) return true;
    undecodable_ += awaits_key_ && !message.frame->keyframe;
    awaits_key_ = false;
    out_of_order_ += message.frame->pts <= last_;
    last_ = message.frame->pts;
    width_ = message.frame->width;
    if (++frames_ == 200) memory_.begin();
    if (frames_ % 50 == 0) memory_.look();
    return true;
  }
  std::unique_ptr<Deliver> another() override { return nullptr; }
  size_t frames() const { return frames_; }
  int64_t width() const { return width_; }  // of the last one
  size_t undecodable() const { return undecodable_; }
  size_t out_of_order() const { return out_of_order_; }
  size_t growth() const { return memory_.growth(); }

 private:
  std::atomic<size_t> frames_ = 0, undecodable_ = 0, out_of_order_ = 0;
  std::atomic<int64_t> width_ = 0;
  bool awaits_key_ = true;
  int64_t last_ = INT64_MIN;
  test::Resident memory_;
};

// Read by FFmpeg: a camera that is met in the middle of a group of pictures, sends broken SEI, reboots, and
// has another resolution then.
TEST(CameraFaults, FfmpegCopesWithMidGopBrokenSeiRebootAndAnotherResolution) {
  const int port = test::free_port();
  std::vector<std::string> options{"--port", std::to_string(port), "--size", "64x48", "--gop",
                                   "50",     "--broken-sei"};
  std::optional<ServerProcess> server(camera(options));
  const auto open = [&] {
    auto made = testing::make(*find_source("ffmpeg"),
                              {{"url", std::format("rtsp://127.0.0.1:{}/live", port)},
                               {"options", "rtsp_transport=tcp"},
                               {"source-id", "cam-1"},
                               {"stall-after", "5"},
                               {"retry-initial", "0.1"},
                               {"retry-max", "0.5"}},
                              "source");
    EXPECT_TRUE(made && (*made)->start());
    return std::move(*made);
  };
  const auto first = open(), second = open();
  Viewer other, viewer;
  std::jthread other_thread([&](const std::stop_token& stop) { (void)first->run(other, stop); });
  ASSERT_TRUE(eventually([&] { return other.frames() >= 10; })) << first->status().at(0).last_error;
  std::jthread thread([&](const std::stop_token& stop) { EXPECT_TRUE(second->run(viewer, stop)); });
  ASSERT_TRUE(eventually([&] { return viewer.frames() >= 60; })) << second->status().at(0).last_error;
  EXPECT_EQ(viewer.width(), 64);
  server->kill();
  options[3] = "96x64";
  server.emplace(camera(options));
  ASSERT_TRUE(eventually([&] { return viewer.width() == 96; })) << second->status().at(0).last_error;
  const size_t wanted = viewer.frames() + 60;
  ASSERT_TRUE(eventually([&] { return viewer.frames() >= wanted; }));
  EXPECT_EQ(viewer.undecodable(), 0u);
  EXPECT_EQ(viewer.out_of_order(), 0u);
  EXPECT_EQ(second->status().at(0).reconnects, 1u);
}

TEST(CameraFaults, GoesOnWhenTheClockJumps) {
  const auto server = camera({"--rate", "100", "--size", "64x48", "--gop", "20"});
  auto made =
      testing::make(*find_source("rtsp"),
                    {{"url", "rtsp://" + server.address() + "/live"}, {"source-id", "cam-1"}}, "source");
  ASSERT_TRUE(made && (*made)->start());
  Viewer viewer;
  test::JumpingClock clock;
  std::jthread thread([&](const std::stop_token& stop) { EXPECT_TRUE((*made)->run(viewer, stop)); });
  for (const auto by : {0h, 24h, -48h, 25h}) {
    clock.jump(by);
    const size_t wanted = viewer.frames() + 100;
    ASSERT_TRUE(eventually([&] { return viewer.frames() >= wanted; }));
  }
  EXPECT_EQ(viewer.undecodable() + viewer.out_of_order(), 0u);
  EXPECT_EQ((*made)->status().at(0).state, SourceState::running);
  EXPECT_EQ((*made)->status().at(0).reconnects, 0u);
}

// 10,000 frames in the long form, else 2,000.
TEST(CameraFaults, IsStoppedPausedRestartedAndTalksNonsenseWhileItsFramesFlow) {
  const size_t frames = test::long_or<size_t>(messages, 2000);
  const int port = test::free_port();
  std::vector<std::string> options{
      "--port", std::to_string(port), "--rate", "200", "--size", "64x48", "--gop", "20"};
  std::optional<ServerProcess> server(camera(options));
  auto proxy = ServerProcess::script("fault_proxy.py", {"--to", server->address()});
  auto made = testing::make(*find_source("rtsp"),
                            {{"url", "rtsp://" + proxy.address() + "/live"},
                             {"source-id", "cam-1"},
                             {"stall-after", "1"},
                             {"retry-initial", "0.1"},
                             {"retry-max", "0.5"}},
                            "source");
  ASSERT_TRUE(made && (*made)->start());
  Viewer viewer;
  std::jthread thread([&](const std::stop_token& stop) { EXPECT_TRUE((*made)->run(viewer, stop)); });
  const auto stalled = [&] {
    EXPECT_TRUE(eventually([&] { return (*made)->status().at(0).state == SourceState::stalled; }));
  };
  const std::vector<std::function<void()>> faults{[&] {  // stopped, with another picture when it returns
                                                    server->kill();
                                                    stalled();
                                                    options[5] = "96x64";
                                                    server.emplace(camera(options));
                                                  },
                                                  [&] {
                                                    server->pause();
                                                    stalled();
                                                    server->go_on();
                                                  },
                                                  [&] {
                                                    server->kill();
                                                    server.emplace(camera(options));
                                                  },
                                                  [&] {
                                                    proxy.control("set",
                                                                  {{"garbage", true}, {"direction", "down"}});
                                                    stalled();
                                                    proxy.control("clear");
                                                    proxy.control("reset");
                                                  }};
  for (size_t i = 0; i < faults.size(); ++i) {
    const size_t wanted = frames * (i + 1) / (faults.size() + 1);
    ASSERT_TRUE(eventually([&] { return viewer.frames() >= wanted; }, 120s)) << viewer.frames();
    faults[i]();
  }
  ASSERT_TRUE(eventually([&] { return viewer.frames() >= frames; }, 120s)) << viewer.frames();
  EXPECT_EQ(viewer.undecodable(), 0u);
  EXPECT_EQ(viewer.out_of_order(), 0u);
  // Who was only paused may go on with the connection that it had.
  EXPECT_GE((*made)->status().at(0).reconnects, faults.size() - 1);
  EXPECT_LT(viewer.growth(), most_growth);
  RecordProperty("grew_by_kib", int(viewer.growth() >> 10));
}

}  // namespace
}  // namespace sightglass::adapters
