// The `camera` source, as far as it goes without a camera.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "sightglass/adapters/gst/camera_pipeline.h"
#include "sightglass/adapters/sources/live/live_test_support.h"
#include "tests/temporary_folder.h"

namespace sightglass::adapters {
namespace {

using testing::HasSubstr;

std::string pipeline(CameraParams params) {
  const auto device = camera_device(params.device);
  if (!device) return device.error().message;
  const auto text = camera_pipeline(params, *device, device->id);
  return text ? *text : text.error().message;
}

TEST(CameraPipeline, IsBuiltFromTheParameters) {
  EXPECT_EQ(pipeline({.device = "/dev/v4l/by-id/usb-A_B-video-index0"}),
            "v4l2src device=\"/dev/v4l/by-id/usb-A_B-video-index0\" ! capsfilter caps=video/x-raw ! "
            "videoconvert ! capsfilter caps=video/x-raw,format=I420");
  EXPECT_EQ(
      pipeline({.device = "/dev/video0", .format = "mjpeg", .size = "1280x720", .rate = {30, 1}}),
      "v4l2src device=\"/dev/video0\" ! capsfilter caps=image/jpeg,width=1280,height=720,framerate=30/1");
  EXPECT_EQ(
      pipeline({.device = "/dev/video0", .format = "YUY2", .controls = {"brightness=10", "gain=-1"}}),
      "v4l2src device=\"/dev/video0\" extra-controls=\"c,brightness=10,gain=-1\" ! "
      "capsfilter caps=video/x-raw,format=YUY2 ! videoconvert ! capsfilter caps=video/x-raw,format=I420");
  EXPECT_THAT(pipeline({.device = "/dev/video0", .format = "h264"}),
              HasSubstr("caps=video/x-h264 ! h264parse config-interval=-1 ! capsfilter "
                        "caps=video/x-h264,stream-format=byte-stream"));
  EXPECT_EQ(
      pipeline({.device = "libcamera:/base/soc/i2c0/imx219@10", .controls = {"ae-enable=true"}}),
      "libcamerasrc camera-name=\"/base/soc/i2c0/imx219@10\" ae-enable=true ! capsfilter caps=video/x-raw ! "
      "videoconvert ! capsfilter caps=video/x-raw,format=I420");
}

TEST(CameraPipeline, TextOfOptionsIsNoPipelineText) {
  EXPECT_THAT(pipeline({.device = "/dev/a\" ! filesink location=\"/x"}),
              HasSubstr("device=\"/dev/a\\\" ! filesink location=\\\"/x\""));
  EXPECT_THAT(pipeline({.device = "/dev/video0", .controls = {"a=1 ! filesink"}}), HasSubstr("NAME=VALUE"));
  EXPECT_THAT(pipeline({.device = "/dev/video0", .controls = {"brightness"}}), HasSubstr("NAME=VALUE"));
}

TEST(CameraPipeline, SaysWhatIsAllowed) {
  EXPECT_THAT(pipeline({.device = "webcam"}), HasSubstr("'webcam' names no camera; one of: /dev/v4l/by-id"));
  EXPECT_THAT(pipeline({.device = "usb:46d:825"}), HasSubstr("names no camera"));
  EXPECT_THAT(pipeline({.device = "/dev/video0", .format = "mjpg"}), HasSubstr("one of: raw, mjpeg, h264"));
  EXPECT_THAT(pipeline({.device = "/dev/video0", .size = "1280"}), HasSubstr("WIDTHxHEIGHT"));
  EXPECT_THAT(pipeline({.device = "/dev/video0", .size = "0x20"}), HasSubstr("WIDTHxHEIGHT"));
}

TEST(UsbCamera, IsFoundByItsIdWhateverFileItGets) {
  const sightglass::test::TemporaryFolder temporary;
  const std::filesystem::path& sys = temporary.path();
  const auto add = [&](const char* video, const char* index, const char* serial) {
    std::filesystem::create_directories(sys / video / "device");
    // The kernel's `device` is the interface, the folder above it the USB device.
    std::filesystem::create_directories(sys / "usb" / video / "interface");
    std::filesystem::remove(sys / video / "device");
    std::filesystem::create_directory_symlink(sys / "usb" / video / "interface", sys / video / "device");
    std::ofstream(sys / video / "index") << index << '\n';
    std::ofstream(sys / "usb" / video / "idVendor") << "046d\n";
    std::ofstream(sys / "usb" / video / "idProduct") << "0825\n";
    std::ofstream(sys / "usb" / video / "serial") << serial << '\n';
  };
  add("video4", "0", "ABC");
  add("video5", "1", "ABC");
  EXPECT_EQ(usb_camera_path("046D:0825", sys).value_or(""), "/dev/video4");
  EXPECT_EQ(usb_camera_path("046d:0825:ABC", sys).value_or(""), "/dev/video4");
  EXPECT_FALSE(usb_camera_path("046d:0825:ABD", sys));
  EXPECT_FALSE(usb_camera_path("046d:0826", sys));
  add("video7", "0", "XYZ");
  EXPECT_THAT(usb_camera_path("046d:0825", sys).error_or({}).message, HasSubstr("add the serial number"));
  EXPECT_EQ(usb_camera_path("046d:0825:XYZ", sys).value_or(""), "/dev/video7");
}

TEST(Camera, GivesRawPicturesWithTheirTime) {
  RunningSource source("camera", {{"device", "gst:videotestsrc is-live=true"},
                                  {"size", "160x120"},
                                  {"rate", "20/1"},
                                  {"source-id", "door"}});
  ASSERT_TRUE(source.reaches_frames(10)) << source.status().last_error;
  const auto last = source.out.all().back();
  const auto& frame = *last.message->frame;
  EXPECT_EQ(last.message->source_id, "door");
  EXPECT_EQ(frame.codec, "raw");
  EXPECT_EQ(frame.raw->format, "I420");
  EXPECT_EQ(frame.width, 160);
  EXPECT_EQ(last.payloads[0].bytes.size(), 160u * 120 * 3 / 2);
  ASSERT_TRUE(frame.captured_us);
  EXPECT_LE(*frame.captured_us, frame.created_us + 1'000'000);
  EXPECT_GE(*frame.captured_us, frame.created_us - 5'000'000);
}

TEST(Camera, EncodedPicturesPassAsTheyAre) {
  RunningSource source("camera",
                       {{"device", "gst:videotestsrc is-live=true ! jpegenc"}, {"format", "mjpeg"}});
  ASSERT_TRUE(source.reaches_frames(5)) << source.status().last_error;
  EXPECT_EQ(source.out.all().back().message->frame->codec, "mjpeg");
  EXPECT_EQ(source.status().source_id, "camera");
}

TEST(Camera, ThatIsNotThereIsAwaited) {
  RunningSource source(
      "camera",
      {{"device", "/dev/v4l/by-id/usb-not-plugged"}, {"start-timeout", "0.5"}, {"retry-initial", "0.1"}});
  ASSERT_GE(RunningSource::wait([&] { return !source.status().last_error.empty(); }), 0);
  EXPECT_THAT(source.status().last_error, HasSubstr("/dev/v4l/by-id/usb-not-plugged is not there"));
  EXPECT_GE(source.wait_for(SourceState::stalled), 0);
  EXPECT_EQ(source.out.count(stream::Kind::frame), 0u);
}

TEST(Camera, ThatBreaksOffIsOpenedAgain) {
  // Ends after 10 pictures, as one that is unplugged.
  RunningSource source("camera", {{"device", "gst:videotestsrc is-live=true num-buffers=10"},
                                  {"retry-initial", "0.1"},
                                  {"retry-max", "0.1"}});
  ASSERT_TRUE(source.reaches_frames(35)) << source.status().last_error;
  EXPECT_GE(source.status().reconnects, 3u);
  EXPECT_EQ(source.out.count(stream::Kind::end_of_stream), 0u);
}

TEST(Camera, TextThatIsNoPipelineIsRefusedAtOnce) {
  const auto made = make_source("camera", {{"device", "gst:nosuchelement"}});
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message, HasSubstr("nosuchelement"));
}

}  // namespace
}  // namespace sightglass::adapters
