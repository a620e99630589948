// The sink `preview` as players see it. With SIGHTGLASS_TEST_PICTURES, a folder, what they see is written
// there.
#include <gmock/gmock.h>
#include <gst/app/gstappsink.h>
#include <gst/gst.h>
#include <gst/video/video.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <format>
#include <fstream>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "sightglass/adapters/preview/frame_interval.h"
#include "sightglass/adapters/screen/screen_test_support.h"
#include "tests/servers/server_process.h"

namespace sightglass::adapters {
namespace {

namespace fs = std::filesystem;
using sightglass::test::eventually;
using sightglass::test::free_port;
using test::Settings;
using testing::HasSubstr;

// A player: decodes, and knows how bright the middle of the last picture was.
class Player {
 public:
  explicit Player(const std::string& url, const std::string& more = "") {
    gst_init(nullptr, nullptr);
    pipeline_ = gst_parse_launch(
        std::format(
            "rtspsrc location={} protocols=tcp latency=0 {} ! rtph264depay ! h264parse ! avdec_h264 ! "
            "videoconvert ! video/x-raw,format=I420 ! appsink name=output sync=false emit-signals=true",
            url, more)
            .c_str(),
        nullptr);
    GstElement* const output = gst_bin_get_by_name(GST_BIN(pipeline_), "output");
    g_signal_connect(output, "new-sample", G_CALLBACK(&Player::take), this);
    gst_object_unref(output);
    gst_element_set_state(pipeline_, GST_STATE_PLAYING);
  }
  ~Player() {
    gst_element_set_state(pipeline_, GST_STATE_NULL);
    gst_object_unref(pipeline_);
  }
  bool has_failed() const {
    GstBus* const bus = gst_element_get_bus(pipeline_);
    GstMessage* const message =
        gst_bus_pop_filtered(bus, GstMessageType(GST_MESSAGE_ERROR | GST_MESSAGE_EOS));
    gst_object_unref(bus);
    if (message) gst_message_unref(message);
    return message != nullptr;
  }
  bool fails() const {
    return eventually([this] { return has_failed(); });
  }
  bool sees(int brightness) const {
    return eventually([&] { return std::abs(brightness_ - brightness) < 12; });
  }
  bool sees_another_than(int brightness) const {
    return eventually([&] { return std::abs(brightness_ - brightness) >= 12; });
  }
  int pictures() const { return pictures_; }
  int width() const {
    const std::lock_guard lock(mutex_);
    return width_;
  }
  // How long the last of them were apart, seconds.
  std::vector<double> gaps() const {
    const std::lock_guard lock(mutex_);
    std::vector<double> found;
    for (size_t i = 1; i < times_.size(); ++i)
      found.push_back(std::chrono::duration<double>(times_[i] - times_[i - 1]).count());
    return found;
  }
  void save(const std::string& name) const {
    const char* folder = std::getenv("SIGHTGLASS_TEST_PICTURES");
    const std::lock_guard lock(mutex_);
    if (!folder || last_.empty()) return;
    std::ofstream out(fs::path(folder) / name, std::ios::binary);
    out << std::format("P5\n{} {}\n255\n", width_, height_);
    out.write(reinterpret_cast<const char*>(last_.data()), std::streamsize(last_.size()));
  }

 private:
  static GstFlowReturn take(GstElement* sink, gpointer self) {
    auto& player = *static_cast<Player*>(self);
    GstSample* const sample = gst_app_sink_pull_sample(GST_APP_SINK(sink));
    if (!sample) return GST_FLOW_EOS;
    GstVideoInfo info;
    GstVideoFrame frame;
    if (gst_video_info_from_caps(&info, gst_sample_get_caps(sample)) &&
        gst_video_frame_map(&frame, &info, gst_sample_get_buffer(sample), GST_MAP_READ)) {
      const auto* luma = static_cast<const uint8_t*>(GST_VIDEO_FRAME_PLANE_DATA(&frame, 0));
      const size_t stride = size_t(GST_VIDEO_FRAME_PLANE_STRIDE(&frame, 0));
      const std::lock_guard lock(player.mutex_);
      player.width_ = info.width, player.height_ = info.height;
      player.last_.clear();
      for (int y = 0; y < info.height; ++y)
        player.last_.insert(player.last_.end(), luma + size_t(y) * stride,
                            luma + size_t(y) * stride + size_t(info.width));
      player.times_.push_back(std::chrono::steady_clock::now());
      // Off the centre, where the text of the other picture is.
      player.brightness_ = luma[size_t(info.height / 4) * stride + size_t(info.width / 2)];
      gst_video_frame_unmap(&frame);
    }
    ++player.pictures_;
    gst_sample_unref(sample);
    return GST_FLOW_OK;
  }

  GstElement* pipeline_ = nullptr;
  std::atomic<int> pictures_ = 0, brightness_ = -1000;
  mutable std::mutex mutex_;
  std::vector<uint8_t> last_;
  std::vector<std::chrono::steady_clock::time_point> times_;
  int width_ = 0, height_ = 0;
};

constexpr int stub_brightness = 40;

class Preview : public testing::Test {
 protected:
  std::unique_ptr<Sink> open(Settings settings = {}) {
    settings.insert(settings.begin(), {{"bind", "127.0.0.1:" + std::to_string(port)}, {"size", "320x240"}});
    return test::open_sink("preview", settings);
  }
  std::string url(const std::string& id, const std::string& user = "") const {
    return std::format("rtsp://{}127.0.0.1:{}/{}", user, port, id);
  }
  const int port = free_port();
};

TEST_F(Preview, IsThereBeforeTheStreamAndStaysBehindIt) {
  auto sink = open({{"sources", "cam-1"}});
  Player player(url("cam-1"));
  EXPECT_TRUE(player.sees(stub_brightness));
  player.save("preview-stub.pgm");
  {
    const test::Camera camera(*sink, {{test::grey("cam-1", 200)}});
    EXPECT_TRUE(player.sees(200));
    player.save("preview-live.pgm");
  }
  // A second later, the picture that stands for it; then it comes back in another codec.
  EXPECT_TRUE(player.sees(stub_brightness));
  {
    const auto records = test::video("cam-1");
    ASSERT_FALSE(records.empty());
    const test::Camera camera(*sink, {records});
    EXPECT_TRUE(player.sees_another_than(stub_brightness));
    const int before = player.pictures();
    EXPECT_TRUE(eventually([&] { return player.pictures() > before + 30; }));
    player.save("preview-video.pgm");
  }
  EXPECT_TRUE(player.sees(stub_brightness));
  EXPECT_FALSE(player.has_failed());
}

// Records of H.264 without reordered frames, all of this brightness, with a keyframe every ten.
std::vector<RecordRef> h264(const std::string& id, int brightness, int count = 60) {
  gst_init(nullptr, nullptr);
  GstElement* const pipeline = gst_parse_launch(
      std::format(
          "videotestsrc pattern=solid-color foreground-color=0xff{0:02x}{0:02x}{0:02x} num-buffers={1} ! "
          "video/x-raw,format=I420,width=64,height=48,framerate=25/1 ! "
          "openh264enc gop-size=10 ! h264parse config-interval=-1 ! "
          "video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=output sync=false",
          brightness, count)
          .c_str(),
      nullptr);
  GstElement* const output = gst_bin_get_by_name(GST_BIN(pipeline), "output");
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  std::vector<RecordRef> records;
  std::optional<stream::Uuid> previous;
  while (GstSample* const sample = gst_app_sink_pull_sample(GST_APP_SINK(output))) {
    GstBuffer* const buffer = gst_sample_get_buffer(sample);
    GstMapInfo map;
    gst_buffer_map(buffer, &map, GST_MAP_READ);
    auto message = std::make_shared<stream::Message>();
    message->kind = stream::Kind::frame;
    message->source_id = id;
    message->seq = int64_t(records.size());
    stream::VideoFrame& frame = message->frame.emplace();
    frame.uuid = stream::make_uuid_v7();
    frame.previous_frame = previous;
    previous = frame.uuid;
    frame.width = 64, frame.height = 48;
    frame.codec = "h264";
    frame.keyframe = !GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DELTA_UNIT);
    frame.time_base = {1, 25};
    frame.pts = message->seq;
    records.push_back(
        record_of({.message = message, .payloads = {stream::own({map.data, map.data + map.size})}}));
    gst_buffer_unmap(buffer, &map);
    gst_sample_unref(sample);
  }
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(output);
  gst_object_unref(pipeline);
  return records;
}

TEST_F(Preview, PassesH264OnAsItIsAndTheOtherPictureStaysWhileItIsAway) {
  auto sink = open({{"sources", "cam-1"}});
  const auto records = h264("cam-1", 200);
  ASSERT_EQ(records.size(), 60u);
  Player player(url("cam-1"));
  EXPECT_TRUE(player.sees(stub_brightness));
  EXPECT_EQ(player.width(), 320);
  for (int times = 0; times < 2; ++times) {
    {
      const test::Camera camera(*sink, {records});
      // Had it been encoded anew, it would have the size of the others.
      EXPECT_TRUE(eventually([&] { return player.width() == 64; }));
      EXPECT_TRUE(player.sees_another_than(stub_brightness));
      Player late(url("cam-1"));
      EXPECT_TRUE(eventually([&] { return late.width() == 64; }));
    }
    EXPECT_TRUE(eventually([&] { return player.width() == 320; }));
    EXPECT_TRUE(player.sees(stub_brightness));
  }
  EXPECT_FALSE(player.has_failed());
}

TEST(FrameInterval, TellsAwayFromSlow) {
  constexpr int64_t second = 1'000'000'000;
  FrameInterval fast(second);
  for (int i = 1; i <= 10; ++i) fast.frame(i * second / 25, {25, 1});
  EXPECT_EQ(fast.patience_ns(), second);
  // A rate of 0.2/s that is declared, and one that is found.
  FrameInterval declared(second), found(second);
  declared.frame(second, {1, 5});
  EXPECT_EQ(declared.patience_ns(), 25 * second / 2);
  for (int i = 1; i <= 2; ++i) found.frame(5 * i * second, {0, 1});
  EXPECT_EQ(found.patience_ns(), second);
  found.frame(15 * second, {0, 1});
  EXPECT_EQ(found.patience_ns(), 25 * second / 2);
  found.pause();
  EXPECT_EQ(found.patience_ns(), second);
}

TEST(FrameInterval, IsNotMisledByAPauseOrALie) {
  constexpr int64_t second = 1'000'000'000;
  FrameInterval interval(second);
  for (int i = 1; i <= 5; ++i) interval.frame(i * second / 10, {0, 1});
  interval.frame(40 * second, {0, 1});  // after a pause
  EXPECT_EQ(interval.patience_ns(), second);
  interval.frame(40 * second + second / 10, {1, 1'000'000});
  EXPECT_EQ(interval.patience_ns(), 60 * second);
  interval.frame(40 * second + second / 5, {-1, 0});
  EXPECT_EQ(interval.patience_ns(), second);
}

// 0.2 frames per second: away would be after 12.5 s, and `max-delay` is long over.
TEST_F(Preview, ASlowStreamIsNotAway) {
  auto sink = open({{"sources", "slow,nobody"}, {"max-delay", "0.1"}});
  const auto fast = h264("slow", 200, 3);
  ASSERT_EQ(fast.size(), 3u);
  std::vector<RecordRef> slow;
  for (const auto& each : fast) {
    auto message = std::make_shared<stream::Message>(*each->message);
    message->frame->framerate = stream::Rational{1, 5};
    slow.push_back(record_of({.message = message, .payloads = {each->payload}}));
  }
  Player player(url("slow")), clock(url("nobody"));
  EXPECT_TRUE(player.sees(stub_brightness));
  const auto write = [&](const RecordRef& record) {
    Stored outcome = Stored::yes;
    EXPECT_TRUE(sink->write(std::span(&record, 1), std::span(&outcome, 1)));
  };
  write(slow[0]);
  EXPECT_TRUE(eventually([&] { return player.width() == 64; }));
  // The other path's pictures come at their rate: 30 of them are 20 times `max-delay`.
  const int before = clock.pictures(), pictures = player.pictures();
  EXPECT_TRUE(eventually([&] { return clock.pictures() > before + 30; }));
  EXPECT_EQ(player.width(), 64);
  EXPECT_EQ(player.pictures(), pictures);
  write(slow[1]);
  EXPECT_TRUE(eventually([&] { return player.pictures() > pictures; }));
  EXPECT_EQ(player.width(), 64);
  // What says itself that it is stalled is away at once.
  auto stalled = std::make_shared<stream::Message>();
  stalled->kind = stream::Kind::stream_update;
  stalled->source_id = "slow";
  stalled->stream_update.emplace().state = stream::StreamState::stalled;
  write(record_of({.message = stalled}));
  EXPECT_TRUE(eventually([&] { return player.width() == 320; }));
  EXPECT_TRUE(player.sees(stub_brightness));
  EXPECT_FALSE(player.has_failed());
}

TEST_F(Preview, EncodesH264AnewOnRequest) {
  auto sink = open({{"sources", "cam-1"}, {"passthrough", "false"}});
  const auto records = h264("cam-1", 200);
  Player player(url("cam-1"));
  EXPECT_TRUE(player.sees(stub_brightness));
  const test::Camera camera(*sink, {records});
  EXPECT_TRUE(player.sees_another_than(stub_brightness));
  EXPECT_EQ(player.width(), 320);
}

TEST_F(Preview, GoesOnAtAKeyframeBehindAMissingFrame) {
  auto sink = open({{"sources", "cam-1"}});
  auto records = h264("cam-1", 200, 20);
  ASSERT_EQ(records.size(), 20u);
  records.erase(records.begin() + 3);
  const test::Camera camera(*sink, {records});
  Player player(url("cam-1"));
  EXPECT_TRUE(eventually([&] { return player.width() == 64 && player.pictures() >= 40; }));
  EXPECT_FALSE(player.has_failed());
}

TEST_F(Preview, KeepsItsRateWhateverTheStreamDoes) {
  auto sink = open({{"sources", "cam-1"}, {"fps", "15"}});
  Player player(url("cam-1"));
  EXPECT_TRUE(eventually([&] { return player.pictures() >= 60; }));
  double all = 0;
  const auto gaps = player.gaps();
  for (const double gap : gaps) all += gap;
  // A slow machine may take longer; none gets pictures faster than they are due.
  EXPECT_GT(all, double(gaps.size()) / 15 * 0.8);
}

TEST_F(Preview, SourcesThatAppearGetAPathOfTheirOwn) {
  auto sink = open();
  Player early(url("late"));
  EXPECT_TRUE(early.fails());
  std::vector<Stored> outcome(2);
  ASSERT_TRUE(sink->write(std::vector{test::grey("late", 90), test::grey("other", 160)}, outcome));
  const test::Camera camera(*sink, {{test::grey("late", 90)}, {test::grey("other", 160)}});
  Player one(url("other"));
  EXPECT_TRUE(one.sees(160));
  Player two(url("late")), three(url("late"));
  EXPECT_TRUE(two.sees(90));
  EXPECT_TRUE(three.sees(90));
}

TEST_F(Preview, AsksViewersForTheirPassword) {
  sightglass::test::TemporaryFolder folder;
  const std::string file = folder.path() / "secret";
  std::ofstream(file) << "hunter2\n";
  auto sink = open({{"sources", "cam-1"}, {"user", "guard"}, {"password-file", file}});
  Player stranger(url("cam-1"));
  EXPECT_TRUE(stranger.fails());
  Player wrong(url("cam-1"), "user-id=guard user-pw=letmein");
  EXPECT_TRUE(wrong.fails());
  Player guard(url("cam-1"), "user-id=guard user-pw=hunter2");
  EXPECT_TRUE(guard.sees(stub_brightness));
}

TEST_F(Preview, SpeaksTls) {
  const sightglass::test::TestCertificates certificates;
  auto sink = open({{"sources", "cam-1"},
                    {"tls-cert", certificates.path("server.pem")},
                    {"tls-key", certificates.path("server.key")}});
  Player player(std::format("rtsps://127.0.0.1:{}/cam-1", port), "tls-validation-flags=0");
  EXPECT_TRUE(player.sees(stub_brightness));
}

TEST_F(Preview, WritesHlsFiles) {
  sightglass::test::TemporaryFolder folder;
  auto sink = open({{"sources", "cam-1"}, {"protocols", "rtsp,hls"}, {"hls-folder", folder.path().string()}});
  const test::Camera camera(*sink, {{test::grey("cam-1", 200)}});
  EXPECT_TRUE(eventually([&] {
    std::ifstream in(folder.path() / "cam-1" / "index.m3u8");
    return std::string(std::istreambuf_iterator<char>(in), {}).contains(".ts");
  }));
}

TEST_F(Preview, BadOptionsAreNamed) {
  const auto message = [](const Settings& settings) {
    auto sink = test::make_sink("preview", settings);
    if (!sink) return sink.error().message;
    const Status started = (*sink)->start();
    return started ? std::string("none") : started.error().message;
  };
  EXPECT_THAT(message({{"bind", "here"}}), HasSubstr("'here' is not HOST:PORT"));
  EXPECT_THAT(message({{"size", "1281x720"}}), HasSubstr("'1281x720'"));
  EXPECT_THAT(message({{"protocols", "webrtc"}}), HasSubstr("'webrtc' is neither rtsp nor hls"));
  EXPECT_THAT(message({{"user", "x"}}), HasSubstr("password-file"));
  EXPECT_THAT(message({{"sources", "../x"}}), HasSubstr("source id"));
  const std::string bind = "127.0.0.1:" + std::to_string(port);
  EXPECT_THAT(message({{"bind", bind}, {"tls-cert", "/nowhere"}, {"tls-key", "/nowhere"}}),
              HasSubstr("/nowhere"));
  auto first = open();
  EXPECT_THAT(message({{"bind", bind}}), HasSubstr("cannot be listened on"));
}

}  // namespace
}  // namespace sightglass::adapters
