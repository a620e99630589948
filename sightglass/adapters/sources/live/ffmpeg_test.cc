// The `ffmpeg` source with what FFmpeg reads: transport streams, playlists, pictures one behind another.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <format>
#include <fstream>

#include "sightglass/adapters/sources/live/live_test_support.h"
#include "tests/servers/server_process.h"

namespace sightglass::adapters {
namespace {

using test::ServerProcess;
using test::TemporaryFolder;
using testing::HasSubstr;
using testing::Not;

// GStreamer as the other side.
class Launch {
 public:
  explicit Launch(const std::string& pipeline) {
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      execlp("sh", "sh", "-c", ("exec gst-launch-1.0 -q " + pipeline + " >/dev/null 2>&1").c_str(), nullptr);
      _exit(127);
    }
  }
  ~Launch() { stop(); }
  Launch(const Launch&) = delete;
  void stop() {
    if (pid_ > 0) kill(pid_, SIGKILL), waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
};

void make(const std::string& pipeline) {
  ASSERT_EQ(std::system(("gst-launch-1.0 -q " + pipeline + " >/dev/null 2>&1").c_str()), 0) << pipeline;
}

constexpr const char* encoder =
    "x264enc tune=zerolatency speed-preset=ultrafast threads=1 bitrate=300 key-int-max=10";
std::string pictures(int count) {
  return std::format("videotestsrc num-buffers={} ! video/x-raw,width=320,height=240,framerate=25/1 ! ",
                     count);
}
const std::string live = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=25/1 ! ";

TEST(Ffmpeg, ReadsTransportStreamsOfDatagramsAndWaitsForTheSenderToComeBack) {
  const int port = test::free_port();
  RunningSource source("ffmpeg", {{"url", std::format("udp://127.0.0.1:{}", port)},
                                  {"source-id", "feed"},
                                  {"stall-after", "1"},
                                  {"retry-max", "1"}});
  const std::string sender =
      live + encoder + std::format(" ! mpegtsmux alignment=7 ! udpsink host=127.0.0.1 port={}", port);
  {
    const Launch launch(sender);
    ASSERT_TRUE(source.reaches_frames(10)) << source.status().last_error;
  }
  ASSERT_GE(source.wait_for(SourceState::stalled), 0);
  const size_t before = source.frames();
  const Launch again(sender);
  ASSERT_TRUE(source.reaches_frames(before + 10)) << source.status().last_error;
  EXPECT_EQ(source.out.all().back().message->frame->codec, "h264");
  EXPECT_EQ(source.out.count(stream::Kind::end_of_stream), 0u);
}

TEST(Ffmpeg, ReadsMotionJpeg) {
  const int port = test::free_port();
  const Launch launch(live +
                      std::format("jpegenc ! multipartmux ! tcpserversink host=127.0.0.1 port={}", port));
  RunningSource source("ffmpeg", {{"url", std::format("tcp://127.0.0.1:{}", port)},
                                  {"format", "mpjpeg"},
                                  {"source-id", "feed"},
                                  {"retry-initial", "0.2"},
                                  {"retry-max", "0.5"}});
  ASSERT_TRUE(source.reaches_frames(10)) << source.status().last_error;
  EXPECT_EQ(source.out.all().back().message->frame->codec, "mjpeg");
}

TEST(Ffmpeg, RecordingEndsAndNothingOfItIsLost) {
  const TemporaryFolder folder;
  make(pictures(50) + encoder +
       " ! h264parse ! mpegtsmux ! filesink location=" + (folder.path() / "a.ts").string());
  const auto server = ServerProcess::nginx(folder.path());
  RunningSource source("ffmpeg",
                       {{"url", "http://" + server.address() + "/a.ts"}, {"pace", "asap"}, {"queue", "4"}});
  ASSERT_GE(RunningSource::wait([&] { return source.has_ended.load(); }), 0);
  EXPECT_EQ(source.frames(), 50u);
  ASSERT_EQ(source.out.count(stream::Kind::end_of_stream), 1u);
  EXPECT_EQ(source.out.all().back().message->end_of_stream->frames, 50);
  EXPECT_EQ(source.status().state, SourceState::ended);
  EXPECT_EQ(source.status().source_id, "a");
}

TEST(Ffmpeg, ReadsPlaylists) {
  const TemporaryFolder folder;
  make(pictures(50) + encoder +
       " ! h264parse ! mpegtsmux ! filesink location=" + (folder.path() / "s.ts").string());
  std::ofstream(folder.path() / "film.m3u8")
      << "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\ns.ts\n#EXT-X-DISCONTINUITY\n"
         "#EXTINF:2,\ns.ts\n#EXT-X-ENDLIST\n";
  const auto server = ServerProcess::nginx(folder.path());
  RunningSource source("ffmpeg", {{"url", "http://" + server.address() + "/film.m3u8"}, {"pace", "asap"}});
  ASSERT_GE(RunningSource::wait([&] { return source.has_ended.load(); }), 0) << source.status().last_error;
  EXPECT_EQ(source.frames(), 100u);
}

TEST(Ffmpeg, PlaylistsDoNotReachFilesOfThisMachine) {
  const TemporaryFolder folder;
  make(pictures(25) + encoder +
       " ! h264parse ! mpegtsmux ! filesink location=" + (folder.path() / "secret.ts").string());
  std::ofstream(folder.path() / "evil.m3u8")
      << "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1,\nfile://" << (folder.path() / "secret.ts").string()
      << "\n#EXT-X-ENDLIST\n";
  const auto server = ServerProcess::nginx(folder.path());
  RunningSource source(
      "ffmpeg",
      {{"url", "http://" + server.address() + "/evil.m3u8"}, {"pace", "asap"}, {"retry-initial", "0.1"}});
  ASSERT_GE(
      RunningSource::wait([&] { return source.has_ended.load() || !source.status().last_error.empty(); }), 0);
  EXPECT_EQ(source.frames(), 0u);
}

TEST(Ffmpeg, BadOptionsAreSaid) {
  const auto error = [](const Settings& settings) {
    const auto made = make_source("ffmpeg", settings);
    return made ? "" : made.error().message;
  };
  EXPECT_THAT(error({{"url", "file:///etc/passwd"}}),
              HasSubstr("'file' is not among `protocols`: http, https"));
  EXPECT_THAT(error({{"url", "/etc/passwd"}}), HasSubstr("is no URL"));
  EXPECT_THAT(error({{"url", "udp://:1"}, {"pace", "slow"}}), HasSubstr("neither live, asap, realtime"));
  EXPECT_THAT(error({{"url", "udp://:1"}, {"format", "mpegtz"}}), HasSubstr("does not read 'mpegtz'"));
  EXPECT_THAT(error({{"url", "udp://:1"}, {"options", "marker"}}), HasSubstr("not written NAME=VALUE"));
}

TEST(F24, UrlsOfFfmpegAreShownWithoutSecrets) {
  RunningSource source("ffmpeg", {{"url", "http://me:marker-secret@127.0.0.1:1/a.ts?token=marker-token"},
                                  {"retry-initial", "0.1"}});
  ASSERT_GE(RunningSource::wait([&] { return !source.status().last_error.empty(); }), 0);
  EXPECT_THAT(source.status().last_error, Not(HasSubstr("marker")));
}

}  // namespace
}  // namespace sightglass::adapters
