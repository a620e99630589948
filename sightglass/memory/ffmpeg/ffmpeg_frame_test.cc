#include "sightglass/memory/ffmpeg/ffmpeg_frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

extern "C" {
#include <libavutil/buffer.h>
#include <libavutil/hwcontext.h>
}

#include <cstring>
#include <memory>
#include <vector>

#include "sightglass/memory/completion_fence.h"
#include "sightglass/memory/ffmpeg/pixel_formats.h"
#include "sightglass/memory/map_to.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_frame.h"
#include "sightglass/memory/system/wrapped_memory.h"
#include "sightglass/memory/view.h"

namespace sightglass {
namespace {

using AvFramePtr = std::unique_ptr<AVFrame, decltype([](AVFrame* frame) { av_frame_free(&frame); })>;

AvFramePtr av_frame(AVPixelFormat format, int width, int height, int alignment = 0) {
  AvFramePtr frame(av_frame_alloc());
  frame->format = format;
  frame->width = width;
  frame->height = height;
  if (av_frame_get_buffer(frame.get(), alignment) < 0) throw std::runtime_error("no AVFrame");
  return frame;
}

uint8_t pattern(size_t plane, int64_t y, int64_t x) {
  return uint8_t(plane * 101 + size_t(y) * 7 + size_t(x) * 3 + 1);
}

void fill(const Frame& frame) {
  for (size_t p = 0; p < frame.tensors.size(); ++p) {
    auto mapping = map(frame.tensors[p], Access::write).value();
    for (int64_t y = 0; y < mapping.shape()[0]; ++y)
      for (int64_t x = 0; x < mapping.shape()[1]; ++x) mapping.row<uint8_t>(y)[x] = pattern(p, y, x);
  }
}

void expect_filled(const Frame& frame) {
  for (size_t p = 0; p < frame.tensors.size(); ++p) {
    auto mapping = map(frame.tensors[p], Access::read).value();
    for (int64_t y = 0; y < mapping.shape()[0]; ++y)
      for (int64_t x = 0; x < mapping.shape()[1]; ++x)
        ASSERT_EQ(mapping.row<uint8_t>(y)[x], pattern(p, y, x)) << "plane " << p << " at " << x << "," << y;
  }
}

FrameMapping mapped(const Frame& frame, MemoryKind kind, Access access = Access::read) {
  CopyLedger ledger;
  auto mapping = map_to(frame, {.form = {kind, frame.video->format}, .access = access},
                        {.hop = &ledger.hop("test"), .strict_zero_copy = true});
  if (!mapping) throw std::runtime_error(mapping.error().message);
  EXPECT_EQ(ledger.total().bytes_copied, 0u);
  return std::move(*mapping);
}

class EveryFormat : public testing::TestWithParam<PixelFormat> {};

TEST_P(EveryFormat, SystemMemoryIsSharedWithAnAvFrameAndBack) {
  const VideoInfo video{.format = GetParam(), .width = 37, .height = 23, .matrix = ColorMatrix::bt709};
  Frame frame = allocate_frame(video, 4).value();
  frame.pts = 40'000'000;
  fill(frame);
  const FrameMapping to = mapped(frame, MemoryKind::ffmpeg);
  const AVFrame* const av = ffmpeg_frame(to.frame());
  ASSERT_NE(av, nullptr);
  EXPECT_EQ(av->format, to_av(GetParam()));
  EXPECT_EQ(av->width, 37);
  EXPECT_EQ(av->height, 23);
  const auto order = plane_order(GetParam());
  for (size_t p = 0; p < frame.tensors.size(); ++p) {
    EXPECT_EQ(reinterpret_cast<std::byte*>(av->data[order[p]]), map(frame.tensors[p], Access::read)->data());
    EXPECT_EQ(av->linesize[order[p]], frame.tensors[p].strides[0]);
  }
  const FrameMapping back = mapped(to.frame(), MemoryKind::system);
  EXPECT_EQ(map(back.frame().tensors[0], Access::read)->data(), map(frame.tensors[0], Access::read)->data());
  EXPECT_EQ(back.frame().video, frame.video);
  expect_filled(back.frame());
}

TEST_P(EveryFormat, AnAvFrameIsSharedWithSystemMemory) {
  AvFramePtr av = av_frame(to_av(GetParam()), 37, 23);
  Frame frame = from_ffmpeg(*av).value();
  frame.video->format = from_av(to_av(GetParam())).value();
  const FrameMapping to = mapped(frame, MemoryKind::system, Access::read_write);
  fill(to.frame());
  const uint8_t* const start = av->data[plane_order(frame.video->format)[0]];
  EXPECT_EQ(reinterpret_cast<const uint8_t*>(map(to.frame().tensors[0], Access::read)->data()), start);
  av.reset();
  expect_filled(frame);
}

INSTANTIATE_TEST_SUITE_P(FfmpegFrame, EveryFormat,
                         testing::ValuesIn(all_pixel_formats().begin(), all_pixel_formats().end()),
                         [](const auto& each) { return std::string(to_string(each.param)); });

TEST(FfmpegFrame, KeepsTheAvFrameForAsLongAsAnyPlaneLives) {
  AvFramePtr av = av_frame(AV_PIX_FMT_YUV420P, 64, 48);
  for (int p = 0; p < 3; ++p) std::memset(av->data[p], 10 + p, size_t(av->linesize[p]) * (p ? 24 : 48));
  Tensor last;
  {
    const Frame frame = from_ffmpeg(*av).value();
    const FrameMapping to = mapped(frame, MemoryKind::system);
    last = to.frame().tensors[2];
  }
  EXPECT_FALSE(av_frame_is_writable(av.get()));
  av.reset();
  EXPECT_EQ(uint8_t(map(last, Access::read)->data()[0]), 12);
}

TEST(FfmpegFrame, LetsGoOfTheAvFrameAtTheEnd) {
  const AvFramePtr av = av_frame(AV_PIX_FMT_NV12, 64, 48);
  {
    const Frame frame = from_ffmpeg(*av).value();
    EXPECT_FALSE(av_frame_is_writable(av.get()));
    const FrameMapping to = mapped(frame, MemoryKind::system);
  }
  EXPECT_TRUE(av_frame_is_writable(av.get()));
}

TEST(FfmpegFrame, AnAvFrameHoldsOurMemoryBeyondOurFrame) {
  const VideoInfo video{.format = PixelFormat::i420, .width = 32, .height = 16};
  std::vector<std::byte> bytes(32 * 16 * 3 / 2, std::byte{7});
  bool released = false;
  AvFramePtr kept;
  {
    const Frame frame = frame_in(wrap_memory(bytes.data(), bytes.size(), [&]() noexcept { released = true; }),
                                 video, FrameLayout::of(video, 1));
    Frame tight = frame;  // FrameLayout puts planes at multiples of 64, which these sizes are
    const FrameMapping to = mapped(tight, MemoryKind::ffmpeg);
    kept.reset(av_frame_clone(ffmpeg_frame(to.frame())));
  }
  ASSERT_NE(kept, nullptr);
  EXPECT_FALSE(released);
  EXPECT_EQ(kept->data[2][7 * kept->linesize[2] + 15], 7);
  EXPECT_FALSE(av_frame_is_writable(kept.get()));  // mapped for reading
  kept.reset();
  EXPECT_TRUE(released);
}

TEST(FfmpegFrame, MemoryMappedForWritingIsWritableForFfmpeg) {
  const Frame frame = allocate_frame({.format = PixelFormat::rgb, .width = 8, .height = 8}).value();
  const FrameMapping to = mapped(frame, MemoryKind::ffmpeg, Access::read_write);
  const auto* av = ffmpeg_frame(to.frame());
  EXPECT_TRUE(av_buffer_is_writable(av->buf[0]));
  av->data[0][3] = 42;
  EXPECT_EQ(uint8_t(map(frame.tensors[0], Access::read)->data()[3]), 42);
}

TEST(FfmpegFrame, WorkThatStillWritesThePictureIsWaitedFor) {
  const AvFramePtr av = av_frame(AV_PIX_FMT_YUV420P, 32, 16);
  const Frame frame = mapped(from_ffmpeg(*av).value(), MemoryKind::system).frame();
  auto* const memory = dynamic_cast<SystemMemory*>(frame.tensors[0].memory.get());
  ASSERT_TRUE(memory);
  auto fence = make_ref<CompletionFence>();
  fence->set_error({ErrorCode::io, "the device is gone", {}, {}});
  memory->set_fence(fence);
  EXPECT_EQ(map(frame.tensors[0], Access::read).error().code, ErrorCode::io);
  memory->set_fence(nullptr);
  EXPECT_TRUE(map(frame.tensors[0], Access::read));
}

TEST(FfmpegFrame, AtTheEndOfAMappingTheAvFrameIsWritten) {
  const AvFramePtr av = av_frame(AV_PIX_FMT_YUV420P, 32, 16);
  FrameMapping mapping = mapped(from_ffmpeg(*av).value(), MemoryKind::system, Access::read_write);
  auto* const memory = dynamic_cast<SystemMemory*>(mapping.frame().tensors[0].memory.get());
  ASSERT_TRUE(memory);
  auto fence = make_ref<CompletionFence>();
  fence->set_error({ErrorCode::io, "the device is gone", {}, {}});
  memory->set_fence(fence);
  const auto finished = mapping.finish();
  ASSERT_FALSE(finished) << "the work in flight was not asked for";
  EXPECT_EQ(finished.error().code, ErrorCode::io);
  memory->set_fence(nullptr);
}

TEST(FfmpegFrame, AViewBecomesAnAvFrameWithoutACopy) {
  Frame frame = allocate_frame({.format = PixelFormat::nv12, .width = 64, .height = 48}).value();
  fill(frame);
  const Frame part = view_of(frame, {.x = 16, .y = 8, .w = 21, .h = 13}).value();
  const FrameMapping to = mapped(part, MemoryKind::ffmpeg);
  const auto* av = ffmpeg_frame(to.frame());
  EXPECT_EQ(av->width, 21);
  EXPECT_EQ(av->height, 13);
  EXPECT_EQ(av->data[0][2 * av->linesize[0] + 3], pattern(0, 10, 19));
  EXPECT_EQ(av->data[1][av->linesize[1] + 1], pattern(1, 5, 17));
}

TEST(FfmpegFrame, WhatTheAvFrameCropsIsLeftOut) {
  const AvFramePtr av = av_frame(AV_PIX_FMT_YUV420P, 64, 48);
  for (int y = 0; y < 48; ++y)
    for (int x = 0; x < 64; ++x) av->data[0][y * av->linesize[0] + x] = uint8_t(x + y);
  av->crop_left = 4, av->crop_top = 2, av->crop_right = 3, av->crop_bottom = 7;
  const Frame frame = from_ffmpeg(*av).value();
  EXPECT_EQ(frame.video->width, 57);
  EXPECT_EQ(frame.video->height, 39);
  EXPECT_FALSE(frame.crop);
  EXPECT_EQ(map(frame.tensors[0], Access::read)->row<uint8_t>(1)[5], 4 + 2 + 1 + 5);
  EXPECT_EQ(frame.tensors[1].shape, (Shape{20, 29}));
}

TEST(FfmpegFrame, ACropBetweenChromaSamplesIsCarriedAsARectangle) {
  const AvFramePtr av = av_frame(AV_PIX_FMT_YUV420P, 64, 48);
  av->crop_left = 3, av->crop_bottom = 8;
  const Frame frame = from_ffmpeg(*av).value();
  EXPECT_EQ(frame.video->width, 64);
  EXPECT_EQ(frame.video->height, 48);
  EXPECT_EQ(frame.crop, (Crop{3, 0, 61, 40}));
}

TEST(FfmpegFrame, ColourTimeAndPixelAspectAreCarriedBothWays) {
  const AvFramePtr av = av_frame(AV_PIX_FMT_YUVJ420P, 64, 48);
  av->colorspace = AVCOL_SPC_BT709;
  av->sample_aspect_ratio = {4, 3};
  av->time_base = {1, 25};
  av->pts = 50, av->duration = 1;
  const Frame frame = from_ffmpeg(*av).value();
  EXPECT_EQ(frame.video->matrix, ColorMatrix::bt709);
  EXPECT_TRUE(frame.video->full_range);
  EXPECT_EQ(frame.video->pixel_aspect, (Fraction{4, 3}));
  EXPECT_EQ(frame.pts, 2'000'000'000);
  EXPECT_EQ(frame.duration, 40'000'000);
  const FrameMapping system = mapped(frame, MemoryKind::system);
  const FrameMapping back = mapped(system.frame(), MemoryKind::ffmpeg);
  const auto* again = ffmpeg_frame(back.frame());
  EXPECT_EQ(again->colorspace, AVCOL_SPC_BT709);
  EXPECT_EQ(again->color_range, AVCOL_RANGE_JPEG);
  EXPECT_EQ(again->sample_aspect_ratio.num, 4);
}

TEST(FfmpegFrame, UnspecifiedColourIsThatOfTheSize) {
  EXPECT_EQ(from_ffmpeg(*av_frame(AV_PIX_FMT_NV12, 720, 576))->video->matrix, ColorMatrix::bt601);
  EXPECT_EQ(from_ffmpeg(*av_frame(AV_PIX_FMT_NV12, 1280, 720))->video->matrix, ColorMatrix::bt709);
  EXPECT_FALSE(from_ffmpeg(*av_frame(AV_PIX_FMT_NV12, 64, 48))->video->full_range);
  EXPECT_TRUE(from_ffmpeg(*av_frame(AV_PIX_FMT_GRAY8, 64, 48))->video->full_range);
}

TEST(FfmpegFrame, PlanesInBuffersOfTheirOwnAreBlocksOfTheirOwn) {
  AvFramePtr av(av_frame_alloc());
  av->format = AV_PIX_FMT_YUV420P, av->width = 16, av->height = 16;
  for (int p = 0; p < 3; ++p) {
    av->buf[p] = av_buffer_allocz(p ? 64 : 256);
    av->data[p] = av->buf[p]->data;
    av->linesize[p] = p ? 8 : 16;
  }
  const Frame frame = from_ffmpeg(*av).value();
  EXPECT_NE(frame.tensors[0].memory, frame.tensors[1].memory);
  EXPECT_EQ(frame.tensors[0].memory->size(), 256u);
  EXPECT_EQ(frame.tensors[2].memory->size(), 64u);
  const FrameMapping to = mapped(frame, MemoryKind::system);
  EXPECT_EQ(to.frame().tensors[1].memory->size(), 64u);
  const FrameMapping back = mapped(to.frame(), MemoryKind::ffmpeg);
  EXPECT_EQ(ffmpeg_frame(back.frame())->data[2], av->data[2]);
}

TEST(FfmpegFrame, BadAvFramesAreRefusedWithTheReason) {
  const auto message = [](const AVFrame& frame) {
    auto made = from_ffmpeg(frame);
    return made ? std::string("no error") : made.error().message;
  };
  AvFramePtr av = av_frame(AV_PIX_FMT_RGB24, 16, 8);
  av->data[0] += av->linesize[0] * 7;
  av->linesize[0] = -av->linesize[0];
  EXPECT_THAT(message(*av), testing::HasSubstr("bottom up"));
  av = av_frame(AV_PIX_FMT_RGB24, 16, 8);
  av->linesize[0] = 20;
  EXPECT_THAT(message(*av), testing::HasSubstr("only 20 bytes apart"));
  EXPECT_THAT(message(*av_frame(AV_PIX_FMT_YUV410P, 16, 8)), testing::HasSubstr("yuv410p"));
  AvFramePtr empty(av_frame_alloc());
  EXPECT_THAT(message(*empty), testing::HasSubstr("not reference counted"));
  av = av_frame(AV_PIX_FMT_RGB24, 16, 8);
  av->crop_left = 20;
  EXPECT_THAT(message(*av), testing::HasSubstr("crop"));
  // Rows that lie beyond the buffer are found when they are mapped.
  av = av_frame(AV_PIX_FMT_RGB24, 16, 8);
  av->linesize[0] = 100'000;
  const Frame beyond = from_ffmpeg(*av).value();
  EXPECT_FALSE(map(beyond.tensors[0], Access::read));
}

TEST(FfmpegFrame, FramesThatAreNoPictureOfTheirFormatAreRefused) {
  Frame frame = allocate_frame({.format = PixelFormat::i420, .width = 16, .height = 16}).value();
  frame.tensors[1].shape = {9, 8};
  EXPECT_FALSE(map_to(frame, {.form = {MemoryKind::ffmpeg, PixelFormat::i420}}));
  frame = allocate_frame({.format = PixelFormat::i420, .width = 16, .height = 16}).value();
  frame.tensors[2].offset = 1 << 20;
  EXPECT_FALSE(map_to(frame, {.form = {MemoryKind::ffmpeg, PixelFormat::i420}}));
  EXPECT_EQ(ffmpeg_frame(frame), nullptr);
  EXPECT_EQ(ffmpeg_frame(Frame{}), nullptr);
}

TEST(FfmpegFrame, WithoutADriverCudaIsUnavailable) {
  AVBufferRef* device = nullptr;
  if (av_hwdevice_ctx_create(&device, AV_HWDEVICE_TYPE_CUDA, nullptr, nullptr, 0) == 0) {
    av_buffer_unref(&device);
    GTEST_SKIP() << "there is a CUDA driver";
  }
  AvFramePtr av(av_frame_alloc());
  av->format = AV_PIX_FMT_CUDA, av->width = 64, av->height = 48;
  av->buf[0] = av_buffer_allocz(64 * 48 * 2);
  av->data[0] = av->buf[0]->data;
  av->linesize[0] = 64;
  auto frame = from_ffmpeg(*av);
  ASSERT_FALSE(frame);
  EXPECT_FALSE(frame.error().message.empty());
}

}  // namespace
}  // namespace sightglass
