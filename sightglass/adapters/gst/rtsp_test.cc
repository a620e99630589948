// The `rtsp` source against a real server, and what networks do to it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <format>
#include <fstream>
#include <functional>

#include "sightglass/adapters/sources/live/live_test_support.h"
#include "sightglass/stream/bitstream.h"
#include "tests/servers/server_process.h"

namespace sightglass::adapters {
namespace {

using test::ServerProcess;
using test::TemporaryFolder;
using testing::HasSubstr;
using testing::Not;

ServerProcess camera(std::vector<std::string> options = {}) {
  options.insert(options.begin(), SIGHTGLASS_RTSP_SERVER);
  return ServerProcess::program(std::move(options));
}
std::string url_of(const ServerProcess& server) { return "rtsp://" + server.address() + "/live"; }

// A camera that only waits for its turn on a busy machine has not stalled.
Settings settings(const std::string& url, Settings more = {}) {
  Settings all{{"url", url}, {"source-id", "cam-1"}, {"stall-after", "5"}, {"retry-max", "2"}};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

std::vector<stream::StreamUpdate> updates(const Collected& out) {
  std::vector<stream::StreamUpdate> found;
  for (const auto& each : out.all())
    if (each.message->stream_update) found.push_back(*each.message->stream_update);
  return found;
}

// Whatever happens: frames begin at a keyframe, at first and behind each discontinuity, and times only grow.
void expect_decodable(const Collected& out) {
  bool awaits_key = true;
  int64_t last = INT64_MIN;
  for (const auto& each : out.all()) {
    if (each.message->stream_update) awaits_key |= each.message->stream_update->discontinuity;
    if (!each.message->frame) continue;
    const auto& frame = *each.message->frame;
    EXPECT_TRUE(!awaits_key || frame.keyframe);
    awaits_key = false;
    EXPECT_GT(frame.pts, last);
    last = frame.pts;
  }
}

TEST(Rtsp, DeliversTheVideoAsItIsEncodedFromAKeyframeOn) {
  const auto server = camera({"--gop", "10"});
  // Somebody else watches already, so that ours comes in the middle of a group of pictures.
  RunningSource other("rtsp", settings(url_of(server)));
  ASSERT_TRUE(other.reaches_frames(13));
  RunningSource source("rtsp", settings(url_of(server)));
  ASSERT_TRUE(source.reaches_frames(30));
  const auto all = source.out.all();
  ASSERT_TRUE(all[0].message->stream_update);
  EXPECT_EQ(all[0].message->stream_update->state, stream::StreamState::starting);
  ASSERT_TRUE(all[1].message->stream_update);
  EXPECT_EQ(all[1].message->stream_update->state, stream::StreamState::running);
  EXPECT_EQ(all[1].message->stream_update->width, 320);
  unsigned keyframes = 0;
  for (const auto& each : all) {
    if (!each.message->frame) continue;
    const auto& frame = *each.message->frame;
    EXPECT_EQ(frame.codec, "h264");
    EXPECT_EQ(frame.width, 320);
    EXPECT_EQ(frame.encoding, stream::Encoding::original);
    EXPECT_EQ(stream::is_keyframe("h264", each.payloads[0].bytes), frame.keyframe);
    // Parameter sets come with each keyframe.
    if (frame.keyframe) {
      EXPECT_EQ(stream::picture_size("h264", each.payloads[0].bytes), (stream::PictureSize{320, 240}));
    }
    keyframes += frame.keyframe;
  }
  EXPECT_GE(keyframes, 3u);
  expect_decodable(source.out);
  EXPECT_EQ(source.status().state, SourceState::running);
  EXPECT_EQ(source.status().reconnects, 0u);
  EXPECT_GT(source.status().fps, 1);
}

TEST(Rtsp, CarriesTheClockOfTheCamera) {
  const auto server = camera();
  RunningSource source("rtsp", settings(url_of(server)));
  const auto captured = [&] {
    const auto all = source.out.all();
    return all.empty() || !all.back().message->frame ? std::nullopt : all.back().message->frame->captured_us;
  };
  ASSERT_GE(RunningSource::wait([&] { return captured().has_value(); }), 0);
  using namespace std::chrono;
  const auto now = duration_cast<microseconds>(system_clock::now().time_since_epoch()).count();
  EXPECT_NEAR(double(*captured()), double(now), 5e6);
}

TEST(Rtsp, TakesDatagrams) {
  const auto server = camera();
  RunningSource source("rtsp", settings(url_of(server), {{"transport", "udp"}}));
  ASSERT_TRUE(source.reaches_frames(20));
  RunningSource either("rtsp", settings(url_of(server), {{"transport", "auto"}}));
  ASSERT_TRUE(either.reaches_frames(20));
}

TEST(Rtsp, KnowsHevcAndMotionJpeg) {
  for (const std::string codec : {"hevc", "mjpeg"}) {
    const auto server = camera({"--codec", codec});
    RunningSource source("rtsp", settings(url_of(server)));
    ASSERT_TRUE(source.reaches_frames(10)) << source.status().last_error;
    EXPECT_EQ(source.out.all().back().message->frame->codec, codec);
    EXPECT_EQ(source.out.all().back().message->frame->width, 320);
  }
}

TEST(Rtsp, SurvivesBrokenSei) {
  const auto server = camera({"--broken-sei"});
  RunningSource source("rtsp", settings(url_of(server)));
  ASSERT_TRUE(source.reaches_frames(40)) << source.status().last_error;
  EXPECT_EQ(source.status().reconnects, 0u);
  expect_decodable(source.out);
}

// What F-12 bounds, in seconds; the limit for being stalled is stall-after and one more.
struct Outage {
  double until_stalled = -1, until_running = -1;
  uint64_t reconnects = 0;
  std::vector<stream::StreamUpdate> told;
};

// Repeated where the machine itself stood still for longer than the bounds.
Outage outage_in_time(const std::function<void(Outage&)>& happen) {
  Outage outage;
  for (int attempt = 0; attempt < 3; ++attempt) {
    outage = {};
    happen(outage);
    if (outage.until_stalled < 2 && outage.until_running < 5 && outage.reconnects == 1) break;
  }
  EXPECT_GE(outage.until_stalled, 0);
  EXPECT_LT(outage.until_stalled, 2);
  EXPECT_GE(outage.until_running, 0);
  EXPECT_LT(outage.until_running, 5);
  return outage;
}

TEST(F12, KilledServerIsStalledWithinASecondAndRunsAgain) {
  const Outage outage = outage_in_time([](Outage& seen) {
    auto server = camera();
    RunningSource source("rtsp", settings(url_of(server), {{"stall-after", "1"}}));
    ASSERT_TRUE(source.reaches_frames(30));
    const int port = server.port();
    server.kill();
    seen.until_stalled = source.wait_for(SourceState::stalled);
    EXPECT_THAT(source.status().last_error, Not(testing::IsEmpty()));
    const size_t before = source.frames();
    const auto again = camera({"--port", std::to_string(port)});
    seen.until_running = source.wait_for(SourceState::running);
    ASSERT_TRUE(source.reaches_frames(before + 20));
    seen.reconnects = source.status().reconnects;
    // No end of the stream, but it says that it does not go on where it was.
    EXPECT_EQ(source.out.count(stream::Kind::end_of_stream), 0u);
    seen.told = updates(source.out);
    expect_decodable(source.out);
  });
  EXPECT_EQ(outage.reconnects, 1u);
  ASSERT_GE(outage.told.size(), 2u);
  EXPECT_EQ(outage.told.back().state, stream::StreamState::running);
  EXPECT_TRUE(outage.told.back().discontinuity);
  EXPECT_EQ(outage.told[outage.told.size() - 2].state, stream::StreamState::stalled);
}

TEST(F12, BlackHoleIsStalledWithinASecondAndRunsAgain) {
  outage_in_time([](Outage& seen) {
    const auto server = camera();
    auto proxy = ServerProcess::script("fault_proxy.py", {"--to", server.address()});
    RunningSource source("rtsp", settings(url_of(proxy), {{"stall-after", "1"}}));
    ASSERT_TRUE(source.reaches_frames(30));
    proxy.control("set", {{"black_hole", true}});
    seen.until_stalled = source.wait_for(SourceState::stalled);
    EXPECT_THAT(source.status().last_error, HasSubstr("nothing has come"));
    // It has tried in vain at least once.
    ASSERT_GE(RunningSource::wait([&] { return proxy.control("state")["connections"] >= 2; }), 0);
    const size_t before = source.frames();
    proxy.control("clear");
    seen.until_running = source.wait_for(SourceState::running);
    ASSERT_TRUE(source.reaches_frames(before + 20));
    seen.reconnects = source.status().reconnects;
    expect_decodable(source.out);
  });
}

TEST(F12, ServerMayComeBackWithOtherParameters) {
  auto server = camera();
  RunningSource source("rtsp", settings(url_of(server)));
  ASSERT_TRUE(source.reaches_frames(10));
  const int port = server.port();
  server.kill();
  ASSERT_GE(source.wait_for(SourceState::stalled), 0);
  size_t before = source.frames();
  auto larger = camera({"--port", std::to_string(port), "--size", "640x360"});
  ASSERT_TRUE(source.reaches_frames(before + 10));
  EXPECT_EQ(source.out.all().back().message->frame->width, 640);
  EXPECT_THAT(updates(source.out).back().reason, HasSubstr("h264 640x360 instead of h264 320x240"));
  larger.kill();
  ASSERT_GE(source.wait_for(SourceState::stalled), 0);
  before = source.frames();
  const auto other = camera({"--port", std::to_string(port), "--codec", "mjpeg"});
  ASSERT_TRUE(source.reaches_frames(before + 10));
  EXPECT_EQ(source.out.all().back().message->frame->codec, "mjpeg");
  EXPECT_EQ(updates(source.out).back().codec, "mjpeg");
  EXPECT_EQ(source.status().reconnects, 2u);
}

TEST(F12, ConnectionIsResetAndCutAgainAndAgain) {
  const auto server = camera({"--gop", "5"});
  auto proxy = ServerProcess::script("fault_proxy.py", {"--to", server.address()});
  RunningSource source("rtsp", settings(url_of(proxy), {{"retry-initial", "0.1"}, {"retry-max", "0.2"}}));
  ASSERT_TRUE(source.reaches_frames(10));
  for (uint64_t i = 1; i <= 4; ++i) {
    const size_t before = source.frames();
    if (i % 2)
      proxy.control("reset");
    else
      proxy.control("set", {{"cut_after", 3000}, {"direction", "down"}, {"times", 1}});
    ASSERT_GE(RunningSource::wait([&] { return source.status().reconnects >= i; }), 0);
    ASSERT_TRUE(source.reaches_frames(before + 10));
  }
  expect_decodable(source.out);
}

TEST(Rtsp, EndsAndBeginsAnewWhereThatIsWished) {
  auto server = camera();
  RunningSource source("rtsp", settings(url_of(server), {{"eos-on-reconnect", "true"}}));
  ASSERT_TRUE(source.reaches_frames(10));
  const int port = server.port();
  server.kill();
  const auto again = camera({"--port", std::to_string(port)});
  ASSERT_GE(RunningSource::wait([&] { return source.status().reconnects == 1; }), 0);
  ASSERT_GE(RunningSource::wait([&] { return source.out.all().back().message->epoch == 1; }), 0);
  ASSERT_EQ(source.out.count(stream::Kind::end_of_stream), 1u);
}

TEST(Rtsp, BlockedReaderIsNoReasonToReconnect) {
  const auto server = camera({"--gop", "10"});
  RunningSource source("rtsp", settings(url_of(server), {{"queue", "8"}, {"block-after", "0.5"}}));
  ASSERT_TRUE(source.reaches_frames(10));
  source.out.block(true);
  ASSERT_GE(source.wait_for(SourceState::blocked), 0);
  // Meanwhile the camera is read, and what cannot be kept is dropped.
  ASSERT_GE(RunningSource::wait([&] { return source.source->rejected()["source_queue_full"] > 40; }), 0);
  EXPECT_EQ(source.status().state, SourceState::blocked);
  EXPECT_GT(source.status().blocked_seconds, 0.5);
  const size_t before = source.frames();
  source.out.block(false);
  ASSERT_GE(source.wait_for(SourceState::running), 0);
  ASSERT_TRUE(source.reaches_frames(before + 30));
  EXPECT_EQ(source.status().reconnects, 0u);
  EXPECT_TRUE(updates(source.out).back().discontinuity);
  EXPECT_THAT(updates(source.out).back().reason, HasSubstr("too slow"));
  expect_decodable(source.out);
}

TEST(Rtsp, CredentialsComeFromAFileAndAWrongOneIsSaid) {
  const auto server = camera({"--user", "viewer", "--password", "marker-secret"});
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "good") << "marker-secret\n";
  std::ofstream(folder.path() / "bad") << "marker-wrong\n";
  RunningSource source(
      "rtsp", settings(url_of(server), {{"user", "viewer"}, {"password-file", folder.path() / "good"}}));
  ASSERT_TRUE(source.reaches_frames(5)) << source.status().last_error;
  RunningSource refused(
      "rtsp", settings(url_of(server), {{"user", "viewer"}, {"password-file", folder.path() / "bad"}}));
  ASSERT_GE(RunningSource::wait([&] { return !refused.status().last_error.empty(); }), 0);
  EXPECT_THAT(refused.status().last_error, HasSubstr("refuses this user and password"));
  EXPECT_EQ(refused.status().state, SourceState::starting);
}

TEST(F24, PasswordsOfCamerasAreNowhere) {
  const auto server = camera({"--user", "viewer", "--password", "marker-secret"});
  RunningSource source("rtsp", settings("rtsp://viewer:marker-secret@" + server.address() + "/nothing"));
  ASSERT_GE(RunningSource::wait([&] { return !source.status().last_error.empty(); }), 0);
  EXPECT_THAT(source.status().last_error, Not(HasSubstr("marker-secret")));
  for (const auto& update : updates(source.out)) EXPECT_THAT(update.reason, Not(HasSubstr("marker")));
  for (const std::string url :
       {"rtsp://me:marker-secret@", "http://me:marker-secret@host/x", "me:marker-secret@host"}) {
    const auto made = make_source("rtsp", settings(url));
    EXPECT_THAT(made ? "" : made.error().message, Not(HasSubstr("marker-secret")));
  }
}

TEST(Rtsp, ChecksTheCertificateOfTheServer) {
  const test::TestCertificates certificates;
  const auto server =
      camera({"--cert", certificates.path("server.pem"), "--key", certificates.path("server.key")});
  const std::string url = "rtsps://" + server.address() + "/live";
  RunningSource source("rtsp", settings(url, {{"tls-ca", certificates.path("ca.pem")}}));
  ASSERT_TRUE(source.reaches_frames(5)) << source.status().last_error;
  RunningSource careless("rtsp", settings(url, {{"tls-verify", "false"}}));
  ASSERT_TRUE(careless.reaches_frames(5)) << careless.status().last_error;
  RunningSource strict("rtsp", settings(url, {{"tls-ca", certificates.path("other-ca.pem")}}));
  ASSERT_GE(RunningSource::wait([&] { return !strict.status().last_error.empty(); }), 0);
  EXPECT_EQ(strict.frames(), 0u);
}

TEST(Rtsp, BadOptionsAreOneLineWithWhatIsAllowed) {
  const auto error = [](const Settings& given) {
    const auto made = make_source("rtsp", given);
    return made ? "" : made.error().message;
  };
  EXPECT_THAT(error({}), HasSubstr("url is missing"));
  EXPECT_THAT(error(settings("http://host/x")), HasSubstr("one of: rtsp, rtsps"));
  EXPECT_THAT(error(settings("host/x")), HasSubstr("is no URL, as rtsp://HOST/PATH"));
  EXPECT_THAT(error(settings("rtsp://host/x", {{"transport", "pigeon"}})), HasSubstr("tcp"));
  EXPECT_THAT(error(settings("rtsp://host/x", {{"password-file", "/nowhere/file"}})),
              HasSubstr("/nowhere/file"));
  for (const char* key : {"tls-ca", "tls-cert", "tls-key", "tls-server-name"})
    EXPECT_THAT(error(settings("rtsp://host/x", {{key, "x"}})), HasSubstr("one with rtsps:// is"));
  EXPECT_THAT(error(settings("rtsp://host/x", {{"tls-verify", "false"}})), HasSubstr("tls.verify is set"));
  EXPECT_EQ(error(settings("rtsps://host/x", {{"tls-verify", "false"}})), "");
}

TEST(Rtsp, ManyCamerasInOneProcessDoNotWaitForEachOther) {
  const auto server = camera({"--gop", "10"});
  std::vector<std::unique_ptr<RunningSource>> sources;
  sources.reserve(8);
  for (int i = 0; i < 8; ++i)
    sources.push_back(std::make_unique<RunningSource>(
        "rtsp", Settings{{"url", url_of(server)}, {"source-id", std::format("cam-{}", i)}}));
  sources[3]->out.block(true);
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(i == 3 || sources[size_t(i)]->reaches_frames(25)) << i;
  EXPECT_EQ(sources[3]->frames(), 0u);
}

}  // namespace
}  // namespace sightglass::adapters
