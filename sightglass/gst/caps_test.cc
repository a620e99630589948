#include "sightglass/gst/caps.h"

#include <gtest/gtest.h>

namespace sightglass::gst {
namespace {

class Caps : public testing::Test {
 protected:
  static void SetUpTestSuite() { gst_init(nullptr, nullptr); }
  static CapsPtr caps(const char* text) { return CapsPtr(gst_caps_from_string(text)); }
  static bool meet(const CapsPtr& a, const CapsPtr& b) { return gst_caps_can_intersect(a.get(), b.get()); }
  static Result<Format> format(const char* text) {
    GstVideoInfo video;
    return to_format(caps(text).get(), &video);
  }
};

TEST_F(Caps, OfTensorsMeetBothSpellingsOfTheCount) {
  const auto ours = to_caps(FormatSpec{
      TensorsSpec{{{.types = {DataType::f32}, .shape = {1, 3, 416, 416}, .strides = {}, .name = {}}}, {}}});
  EXPECT_TRUE(meet(ours, caps("other/tensors,num_tensors=(uint)1,types=float32,dimensions=\"416:416:3:1\"")));
  EXPECT_TRUE(meet(ours, caps("other/tensors,num_tensors=(int)1,types=float32,dimensions=416:416:3:1")));
  EXPECT_FALSE(meet(ours, caps("other/tensors,num_tensors=(uint)1,types=uint8,dimensions=416:416:3:1")));
  EXPECT_FALSE(meet(ours, caps("other/tensors,num_tensors=(uint)1,types=float32,dimensions=320:320:3:1")));
}

TEST_F(Caps, OfTensorsComeBackAsTheSameFormat) {
  TensorsSpec spec{{{.types = {DataType::f32}, .shape = {1, 100, 6}, .strides = {}, .name = "boxes"},
                    {.types = {DataType::i64}, .shape = {1}, .strides = {}, .name = "count"}},
                   "detector"};
  auto both = to_caps(FormatSpec{spec});
  CapsPtr fixed(gst_caps_fixate(both.release()));
  GstVideoInfo video;
  const auto back = to_format(fixed.get(), &video);
  ASSERT_TRUE(back) << back.error().message;
  const auto& tensors = *back->tensors();
  EXPECT_EQ(tensors.model, "detector");
  ASSERT_EQ(tensors.tensors.size(), 2u);
  EXPECT_EQ(tensors.tensors[0].shape, (Shape{1, 100, 6}));
  EXPECT_EQ(tensors.tensors[1].type, DataType::i64);
  EXPECT_EQ(tensors.tensors[1].name, "count");
}

TEST_F(Caps, OfTensorsWithoutDimensionsAreNotAFormat) {
  const auto open = format("other/tensors,num_tensors=(uint)1,types=float32");
  ASSERT_FALSE(open);
  EXPECT_EQ(open.error().code, ErrorCode::not_negotiated);
}

TEST_F(Caps, OfVideoCarryColourAndAspect) {
  const auto nv12 = format(
      "video/x-raw,format=NV12,width=1920,height=1080,colorimetry=bt709,pixel-aspect-ratio=4/3,framerate=25/"
      "1");
  ASSERT_TRUE(nv12);
  EXPECT_EQ(nv12->video()->format, PixelFormat::nv12);
  EXPECT_EQ(nv12->video()->matrix, ColorMatrix::bt709);
  EXPECT_FALSE(nv12->video()->full_range);
  EXPECT_EQ(nv12->video()->pixel_aspect, (Fraction{4, 3}));
}

TEST_F(Caps, OfForeignMediaAreLeftAlone) {
  EXPECT_TRUE(std::holds_alternative<std::monostate>(
      format("audio/x-raw,format=S24LE,rate=8000,channels=1,layout=interleaved")->media));
  EXPECT_TRUE(std::holds_alternative<std::monostate>(format("audio/x-opus,rate=48000")->media));
  const auto spec = caps("video/x-raw(memory:D3D11Memory),format=NV12,width=4,height=4");
  EXPECT_TRUE(std::holds_alternative<AnySpec>(
      to_spec(gst_caps_get_structure(spec.get(), 0), gst_caps_get_features(spec.get(), 0)).media));
}

TEST_F(Caps, OfSoundAreATensorOfChannelsAndSamples) {
  const auto stereo = format("audio/x-raw,format=S16LE,rate=8000,channels=2,layout=interleaved");
  ASSERT_TRUE(stereo && stereo->tensors());
  EXPECT_EQ(stereo->tensors()->model, sound_model);
  const auto& tensor = stereo->tensors()->tensors.at(0);
  EXPECT_EQ(tensor.type, DataType::i16);
  EXPECT_EQ(tensor.shape, (Shape{2, -1}));
  EXPECT_EQ(tensor.strides, (Shape{2, 4}));
  const auto open = caps("audio/x-raw,format={S16LE,F32LE,S8},channels=[1,8]");
  const auto back = to_caps(to_spec(gst_caps_get_structure(open.get(), 0), nullptr));
  EXPECT_TRUE(meet(back, caps("audio/x-raw,format=F32LE,channels=3,rate=44100,layout=interleaved")));
  EXPECT_FALSE(meet(back, caps("audio/x-raw,format=S8,channels=3,rate=44100,layout=interleaved")));
  EXPECT_FALSE(meet(back, caps("audio/x-raw,format=F32LE,channels=3,rate=44100,layout=non-interleaved")));
}

TEST_F(Caps, WithRangesBecomeRanges) {
  const auto open = caps("video/x-raw,format={I420,NV12},width=[16,4096],height=32");
  const auto spec = to_spec(gst_caps_get_structure(open.get(), 0), nullptr);
  const auto& video = std::get<VideoSpec>(spec.media);
  EXPECT_EQ(video.formats, (std::vector{PixelFormat::i420, PixelFormat::nv12}));
  EXPECT_EQ(video.width, (IntRange{16, 4096}));
  EXPECT_EQ(video.height, IntRange::exactly(32));
}

}  // namespace
}  // namespace sightglass::gst
