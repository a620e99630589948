#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "sightglass/elements/ffmpeg_media/media_test_support.h"

namespace sightglass {
namespace {

using test::Everything;
using test::Folder;
using test::format_of_video;
using test::moving_picture;
using test::read_all;
using test::source_of;
using test::video_info;
using test::write_video;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::string why(const Status& status) { return test::message_of(status); }

struct Way {
  std::string file, codec;
  PixelFormat format;
  double least_psnr;
};
void PrintTo(const Way& way, std::ostream* out) {
  *out << way.file << " " << way.codec << " " << to_string(way.format);
}

class RoundTrip : public testing::TestWithParam<Way> {};

TEST_P(RoundTrip, ComesBackAsItWas) {
  const Way& way = GetParam();
  const Folder folder;
  // Odd sizes and rows that are not aligned come with the frames of the other tests.
  const VideoInfo video = video_info(way.format, 98, 66);
  const Status written = write_video(folder / way.file, video, 15, {{"codec", way.codec}});
  if (!written && written.error().code == ErrorCode::unsupported) GTEST_SKIP() << why(written);
  ASSERT_TRUE(written) << why(written);
  auto source = source_of({folder / way.file});
  const Everything all = read_all(*source);
  EXPECT_TRUE(all.end) << why(all.end);
  EXPECT_THAT(all.warnings, IsEmpty());
  ASSERT_THAT(all.frames, SizeIs(15));
  for (size_t i = 0; i < all.frames.size(); ++i) {
    EXPECT_NEAR(double(all.frames[i].pts), double(i) * 40e6, 1e6) << i;
    EXPECT_GE(test::psnr(all.frames[i], moving_picture(video, int(i))), way.least_psnr) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(
    FfmpegEncoderSink, RoundTrip,
    testing::Values(
        Way{"a.mp4", "auto", PixelFormat::i420, 38}, Way{"a.mkv", "h264", PixelFormat::i420, 38},
        Way{"a.mp4", "h264", PixelFormat::nv12, 38}, Way{"a.mp4", "h264", PixelFormat::y444, 38},
        Way{"a.mkv", "hevc", PixelFormat::i420, 36}, Way{"a.avi", "auto", PixelFormat::i420, 33},
        Way{"a.mp4", "mpeg4", PixelFormat::i420, 33}, Way{"a.avi", "mjpeg", PixelFormat::i420, 33},
        Way{"a.mkv", "mjpeg", PixelFormat::y444, 33}, Way{"a.mov", "h264", PixelFormat::yv12, 38},
        Way{"a.webm", "vp8", PixelFormat::i420, 30}, Way{"a.mkv", "ffv1", PixelFormat::i420, 100},
        Way{"a.mkv", "ffv1", PixelFormat::y42b, 100}, Way{"a.mkv", "ffv1", PixelFormat::gray8, 100},
        Way{"a.mkv", "ffv1", PixelFormat::rgb, 100}, Way{"a.ts", "mpeg2video", PixelFormat::i420, 30}));

TEST(FfmpegEncoderSink, ConvertsWhatTheEncoderDoesNotTake) {
  const Folder folder;
  for (const PixelFormat format :
       {PixelFormat::rgb, PixelFormat::bgra, PixelFormat::rgbp, PixelFormat::gray8}) {
    SCOPED_TRACE(to_string(format));
    const VideoInfo video = video_info(format, 64, 48);
    ASSERT_TRUE(write_video(folder / "a.mp4", video, 5, {{"codec", "mpeg4"}, {"quality", "2"}}));
    auto source = source_of({folder / "a.mp4"});
    const Everything all = read_all(*source);
    ASSERT_THAT(all.frames, SizeIs(5));
    EXPECT_EQ(all.frames[0].video->format, PixelFormat::i420);
  }
}

TEST(FfmpegEncoderSink, OddSizesAreKeptWhereTheEncoderCanElseCut) {
  const Folder folder;
  const VideoInfo odd = video_info(PixelFormat::i420, 63, 47);
  ASSERT_TRUE(write_video(folder / "a.mkv", odd, 3, {{"codec", "ffv1"}}));
  Everything all = read_all(*source_of({folder / "a.mkv"}));
  ASSERT_THAT(all.frames, SizeIs(3));
  EXPECT_EQ(all.frames[0].video->width, 63);
  EXPECT_EQ(test::psnr(all.frames[2], moving_picture(odd, 2)), 100);

  auto sink = test::make<Sink>("ffmpeg_encoder_sink", {{"location", folder / "a.mp4"}, {"codec", "h264"}});
  ASSERT_TRUE(sink->start()) << "no h264";
  ASSERT_TRUE(sink->configure(format_of_video(odd), {}));
  EXPECT_THAT(sink->take_warnings(), ElementsAre(HasSubstr("even sizes")));
  ASSERT_TRUE(sink->write(moving_picture(odd, 0)));
  ASSERT_TRUE(sink->drain());
  all = read_all(*source_of({folder / "a.mp4"}));
  ASSERT_THAT(all.frames, SizeIs(1));
  EXPECT_EQ(all.frames[0].video->width, 62);
  EXPECT_EQ(all.frames[0].video->height, 46);
}

TEST(FfmpegEncoderSink, TakesRowsThatAreNotAligned) {
  const Folder folder;
  const VideoInfo video = video_info(PixelFormat::i420, 62, 46);
  for (const char* codec : {"h264", "mpeg4", "mjpeg", "ffv1"}) {
    SCOPED_TRACE(codec);
    auto sink = test::make<Sink>("ffmpeg_encoder_sink", {{"location", folder / "a.mkv"}, {"codec", codec}});
    ASSERT_TRUE(sink->start());
    for (int i = 0; i < 4; ++i) {
      // Dense, planes at odd addresses, nothing behind the last byte.
      Frame frame = test::picture(video.format, video.width + 1, video.height);
      for (Tensor& tensor : frame.tensors) tensor.offset += 1, tensor.shape[1] -= 1;
      frame.tensors[1].shape[1] = frame.tensors[2].shape[1] = 31;
      frame.video = video;
      frame.pts = i * 40'000'000;
      const Status written = sink->write(frame);
      ASSERT_TRUE(written) << why(written);
    }
    ASSERT_TRUE(sink->drain());
    EXPECT_THAT(read_all(*source_of({folder / "a.mkv"})).frames, SizeIs(4));
  }
}

TEST(FfmpegEncoderSink, KeepsIrregularTimesFromTheFirstFrameOn) {
  const Folder folder;
  for (const std::string file : {"a.mp4", "a.mkv"}) {
    auto sink = test::make<Sink>("ffmpeg_encoder_sink", {{"location", folder / file}, {"codec", "mpeg4"}});
    ASSERT_TRUE(sink->start());
    const Time times[] = {5'000'000'000, 5'010'000'000, 5'200'000'000, 5'201'000'000, 9'000'000'000};
    VideoInfo video = video_info(PixelFormat::i420, 64, 48);
    video.frame_rate = {0, 1};
    for (int i = 0; i < 5; ++i) {
      Frame frame = moving_picture(video, i);
      frame.pts = times[i];
      ASSERT_TRUE(sink->write(frame));
    }
    ASSERT_TRUE(sink->drain());
    EXPECT_THAT(sink->take_warnings(), IsEmpty());
    const Everything all = read_all(*source_of({folder / file}));
    ASSERT_THAT(all.frames, SizeIs(5));
    for (size_t i = 0; i < 5; ++i) EXPECT_NEAR(double(all.frames[i].pts), double(times[i] - times[0]), 1e6);
  }
}

TEST(FfmpegEncoderSink, TimesThatDoNotGrowAreMovedOnWithOneWarning) {
  const Folder folder;
  auto sink = test::make<Sink>("ffmpeg_encoder_sink", {{"location", folder / "a.mkv"}, {"codec", "ffv1"}});
  ASSERT_TRUE(sink->start());
  const VideoInfo video = video_info(PixelFormat::i420, 64, 48);
  for (int i : {0, 1, 2, 0, 1, 5}) ASSERT_TRUE(sink->write(moving_picture(video, i)));
  Frame timeless = moving_picture(video, 6);
  timeless.pts = no_time;
  ASSERT_TRUE(sink->write(timeless));
  ASSERT_TRUE(sink->drain());
  EXPECT_THAT(sink->take_warnings(), ElementsAre(HasSubstr("do not grow")));
  EXPECT_THAT(read_all(*source_of({folder / "a.mkv"})).frames, SizeIs(7));
}

TEST(FfmpegEncoderSink, StopWithoutDrainLeavesAFileThatCanBeRead) {
  const Folder folder;
  {
    auto sink = test::make<Sink>("ffmpeg_encoder_sink", {{"location", folder / "a.mp4"}, {"codec", "mpeg4"}});
    ASSERT_TRUE(sink->start());
    for (int i = 0; i < 5; ++i)
      ASSERT_TRUE(sink->write(moving_picture(video_info(PixelFormat::i420, 64, 48), i)));
    sink->stop();
    EXPECT_THAT(sink->take_warnings(), IsEmpty());
  }
  EXPECT_THAT(read_all(*source_of({folder / "a.mp4"})).frames, SizeIs(5));
}

TEST(FfmpegEncoderSink, LessQualityIsASmallerFile) {
  const Folder folder;
  for (const char* codec : {"h264", "mpeg4", "mjpeg"}) {
    const VideoInfo video = video_info(PixelFormat::i420, 128, 96);
    ASSERT_TRUE(write_video(folder / "good.mkv", video, 10, {{"codec", codec}, {"quality", "2"}})) << codec;
    ASSERT_TRUE(write_video(folder / "bad.mkv", video, 10, {{"codec", codec}, {"quality", "30"}})) << codec;
    EXPECT_GT(std::filesystem::file_size(folder / "good.mkv"), std::filesystem::file_size(folder / "bad.mkv"))
        << codec;
  }
}

TEST(FfmpegEncoderSink, SaysWhatIsWrong) {
  const Folder folder;
  const VideoInfo video = video_info(PixelFormat::i420, 64, 48);
  EXPECT_THAT(why(write_video("", video, 1)), HasSubstr("location is empty"));
  EXPECT_THAT(why(write_video(folder / "a.xyz", video, 1)), HasSubstr("no container of that ending"));
  EXPECT_THAT(why(write_video(folder / "a.mp4", video, 1, {{"format", "nonsense"}})),
              HasSubstr("of that name"));
  const Status missing = write_video(folder / "missing/a.mp4", video, 1);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_THAT(why(missing), HasSubstr("No such file or directory"));
  const Status unknown = write_video(folder / "a.mp4", video, 1, {{"codec", "h999"}});
  EXPECT_EQ(unknown.error().code, ErrorCode::unsupported);
  EXPECT_THAT(why(unknown), HasSubstr("usable: auto, "));
  EXPECT_THAT(why(unknown), HasSubstr("mpeg4"));
  EXPECT_THAT(why(write_video(folder / "a.webm", video, 1, {{"codec", "mpeg4"}})),
              HasSubstr("does not go into webm"));
  EXPECT_THAT(why(write_video(folder / "a.mp4", video, 1, {{"codec", "h264"}, {"preset", "hasty"}})),
              HasSubstr("hasty"));
  EXPECT_THAT(why(write_video(folder / "a.mp4", video, 1, {{"codec", "mpeg4"}, {"preset", "fast"}})),
              HasSubstr("no presets"));
}

TEST(FfmpegEncoderSink, AFullDiskIsAnError) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  const VideoInfo video = video_info(PixelFormat::i420, 320, 240);
  for (const char* format : {"matroska", "mp4", "avi"}) {
    const Status written = write_video("/dev/full", video, 20, {{"format", format}, {"codec", "mjpeg"}});
    ASSERT_FALSE(written) << format;
    EXPECT_EQ(written.error().code, ErrorCode::io);
    EXPECT_THAT(why(written), HasSubstr("No space left on device")) << format;
  }
}

TEST(FfmpegEncoderSink, OneFileHoldsOneFormat) {
  const Folder folder;
  auto sink = test::make<Sink>("ffmpeg_encoder_sink", {{"location", folder / "a.mkv"}, {"codec", "mpeg4"}});
  ASSERT_TRUE(sink->start());
  ASSERT_TRUE(sink->write(moving_picture(video_info(PixelFormat::i420, 64, 48), 0)));
  const Status other = sink->write(moving_picture(video_info(PixelFormat::i420, 32, 48), 1));
  EXPECT_THAT(why(other), HasSubstr("one file holds one format"));
  EXPECT_FALSE(sink->write(Frame{}));
}

TEST(FfmpegEncoderSink, FramesMayGoOnceTheyAreWritten) {
  const Folder folder;
  auto sink = test::make<Sink>("ffmpeg_encoder_sink", {{"location", folder / "a.mp4"}, {"codec", "h264"}});
  ASSERT_TRUE(sink->start());
  MemoryRef held;
  for (int i = 0; i < 60; ++i) {
    const Frame frame = moving_picture(video_info(PixelFormat::i420, 64, 48), i);
    if (i == 0) held = frame.tensors[0].memory;
    ASSERT_TRUE(sink->write(frame));
  }
  ASSERT_TRUE(sink->drain());
  EXPECT_TRUE(held->unique());
}

}  // namespace
}  // namespace sightglass
