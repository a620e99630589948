#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sightglass/elements/ffmpeg_media/media_test_support.h"

namespace sightglass {
namespace {

using test::Folder;
using test::moving_picture;
using test::read_all;
using test::source_of;
using test::video_info;
using testing::HasSubstr;
using testing::SizeIs;

Status write_images(const std::string& location, const VideoInfo& video, int count,
                    test::Settings settings = {}) {
  settings.insert(settings.begin(), {"location", location});
  auto sink = test::make<Sink>("image_sink", settings);
  if (auto status = sink->start(); !status) return status;
  for (int i = 0; i < count; ++i)
    if (auto status = sink->write(moving_picture(video, i)); !status) return status;
  return sink->drain();
}

Frame read_image(const std::string& file) {
  auto all = read_all(*source_of({file}));
  if (!all.end) throw std::runtime_error(all.end.error().message);
  return all.frames.at(0);
}

TEST(ImageSink, NumbersItsFiles) {
  const Folder folder;
  const VideoInfo video = video_info(PixelFormat::rgb, 33, 17);
  ASSERT_TRUE(write_images(folder / "out-%03d.png", video, 3));
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(test::psnr(read_image(folder / std::format("out-{:03}.png", i)), moving_picture(video, i)),
              100);
  EXPECT_FALSE(std::filesystem::exists(folder / "out-003.png"));
}

TEST(ImageSink, EveryFormatOfPicture) {
  const Folder folder;
  const VideoInfo rgb = video_info(PixelFormat::rgb, 33, 17);
  for (const char* name : {"a.png", "a.bmp", "a.tiff", "a.ppm"}) {
    ASSERT_TRUE(write_images(folder / name, rgb, 1)) << name;
    EXPECT_EQ(test::psnr(read_image(folder / name), moving_picture(rgb, 0)), 100) << name;
  }
  for (const PixelFormat format :
       {PixelFormat::i420, PixelFormat::nv12, PixelFormat::y444, PixelFormat::gray8}) {
    const VideoInfo video = video_info(format, 33, 17);
    ASSERT_TRUE(write_images(folder / "a.JPG", video, 1, {{"quality", "98"}})) << to_string(format);
    const Frame read = read_image(folder / "a.JPG");
    EXPECT_TRUE(read.video->full_range);
    const Frame expected = moving_picture(video, 0);
    EXPECT_GE(test::psnr(convert_picture(read, *expected.video).value(), expected), 30) << to_string(format);
  }
}

TEST(ImageSink, AFolderHoldsThemAll) {
  const Folder folder;
  ASSERT_TRUE(write_images(folder / "new%/", video_info(PixelFormat::i420, 32, 16), 2));
  EXPECT_TRUE(std::filesystem::exists(folder / "new%/00001.jpg"));
  ASSERT_TRUE(
      write_images(folder.path().string(), video_info(PixelFormat::i420, 32, 16), 1, {{"format", "png"}}));
  EXPECT_TRUE(std::filesystem::exists(folder / "00000.png"));
}

TEST(ImageSink, APlainNameHoldsTheLastFrame) {
  const Folder folder;
  const VideoInfo video = video_info(PixelFormat::rgb, 32, 16);
  ASSERT_TRUE(write_images(folder / "last.png", video, 4));
  EXPECT_EQ(test::psnr(read_image(folder / "last.png"), moving_picture(video, 3)), 100);
}

TEST(ImageSink, SizesMayChange) {
  const Folder folder;
  auto sink = test::make<Sink>("image_sink", {{"location", folder / "%d.jpg"}});
  ASSERT_TRUE(sink->start());
  for (const int width : {32, 48, 33})
    ASSERT_TRUE(sink->write(moving_picture(video_info(PixelFormat::i420, width, 16), 0)));
  EXPECT_EQ(read_image(folder / "2.jpg").video->width, 33);
}

TEST(ImageSink, SaysWhatIsWrong) {
  const Folder folder;
  const VideoInfo video = video_info(PixelFormat::i420, 32, 16);
  const auto why = [&](const std::string& location, const test::Settings& settings = {}) {
    return test::message_of(write_images(location, video, 1, settings));
  };
  EXPECT_THAT(why(""), HasSubstr("location is empty"));
  EXPECT_THAT(why(folder / "a.xyz"), HasSubstr("usable: jpg, png"));
  EXPECT_THAT(why(folder / "a"), HasSubstr("usable: jpg, png"));
  EXPECT_THAT(why(folder / "%s.jpg"), HasSubstr("written %d"));
  EXPECT_THAT(why(folder / "%d-%d.jpg"), HasSubstr("once"));
  EXPECT_THAT(why(folder / "%999d.jpg"), HasSubstr("written %d"));
  EXPECT_THAT(why(folder / "missing/a.jpg"), HasSubstr("no such folder"));
  if (std::filesystem::exists("/dev/full")) {
    const Status full = write_images("/dev/full", video, 1, {{"format", "png"}});
    ASSERT_FALSE(full);
    EXPECT_EQ(full.error().code, ErrorCode::io);
    EXPECT_THAT(full.error().message, HasSubstr("No space left"));
  }
}

}  // namespace
}  // namespace sightglass
