#include "sightglass/memory/gst/gst_frame.h"

#include <gst/allocators/gstdmabuf.h>
#include <gst/video/video.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "sightglass/memory/dmabuf/dmabuf_memory.h"
#include "sightglass/memory/gst/handles.h"
#include "sightglass/memory/map_to.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_frame.h"
#include "sightglass/memory/system/system_memory.h"
#include "sightglass/memory/view.h"

namespace sightglass::gst {
namespace {

class GstFrame : public testing::Test {
 protected:
  static void SetUpTestSuite() { gst_init(nullptr, nullptr); }

  static GstVideoInfo info_of(GstVideoFormat format, int width, int height) {
    GstVideoInfo info;
    EXPECT_TRUE(gst_video_info_set_format(&info, format, guint(width), guint(height)));
    return info;
  }
  // Bytes that count up from the start of the buffer on.
  static BufferPtr counting_buffer(size_t size) {
    BufferPtr buffer(gst_buffer_new_allocate(nullptr, size, nullptr));
    for (size_t i = 0; i < size; ++i) gst_buffer_memset(buffer.get(), i, guint8(i * 7 + i / 251), 1);
    return buffer;
  }
  static uint8_t expected_at(size_t offset) { return uint8_t(offset * 7 + offset / 251); }
  static int refs(GstBuffer* buffer) { return GST_MINI_OBJECT_REFCOUNT_VALUE(buffer); }
  static uint8_t byte_at(const Tensor& plane, int64_t y, int64_t x) {
    auto mapping = map(plane, Access::read);
    return mapping ? mapping->row<uint8_t>(y)[x] : 0;
  }
  static Result<FrameMapping> shared(const Frame& frame, MemoryKind kind, Access access = Access::read) {
    return map_to(frame, {.form = {kind, form_of(frame).pixels}, .access = access},
                  {.strict_zero_copy = true});
  }
};

TEST_F(GstFrame, HasThePlanesOfItsCapsWithoutAMeta) {
  const auto info = info_of(GST_VIDEO_FORMAT_NV12, 31, 17);
  auto buffer = counting_buffer(info.size);
  GST_BUFFER_PTS(buffer.get()) = 5;
  auto frame = from_gst(buffer.get(), info);
  ASSERT_TRUE(frame) << frame.error().message;
  EXPECT_EQ(form_of(*frame), (Form{MemoryKind::gst, PixelFormat::nv12}));
  EXPECT_EQ(frame->pts, 5);
  EXPECT_EQ(gst_buffer(*frame), buffer.get());
  EXPECT_EQ(frame->tensors[1].shape, (Shape{9, 32}));
  EXPECT_EQ(byte_at(frame->tensors[1], 8, 31), expected_at(info.offset[1] + 8 * size_t(info.stride[1]) + 31));
}

TEST_F(GstFrame, FollowsOffsetsStridesAndCropOfItsMetas) {
  const auto info = info_of(GST_VIDEO_FORMAT_I420, 5, 3);
  auto buffer = counting_buffer(2000);
  gsize offset[GST_VIDEO_MAX_PLANES] = {1000, 3, 500};
  gint stride[GST_VIDEO_MAX_PLANES] = {7, 11, 13};
  gst_buffer_add_video_meta_full(buffer.get(), GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_I420, 5, 3, 3,
                                 offset, stride);
  auto* crop = gst_buffer_add_video_crop_meta(buffer.get());
  crop->x = 1, crop->y = 1, crop->width = 2, crop->height = 2;
  auto frame = from_gst(buffer.get(), info);
  ASSERT_TRUE(frame) << frame.error().message;
  EXPECT_EQ(frame->crop, (Crop{1, 1, 2, 2}));
  EXPECT_EQ(byte_at(frame->tensors[0], 2, 4), expected_at(1000 + 2 * 7 + 4));
  EXPECT_EQ(byte_at(frame->tensors[1], 1, 2), expected_at(3 + 11 + 2));
  EXPECT_EQ(byte_at(frame->tensors[2], 1, 2), expected_at(500 + 13 + 2));
}

TEST_F(GstFrame, MayHaveAMemoryPerPlane) {
  const auto info = info_of(GST_VIDEO_FORMAT_NV12, 4, 4);
  auto buffer = counting_buffer(16);
  auto more = counting_buffer(8);
  gst_buffer_append_memory(buffer.get(), gst_buffer_get_memory(more.get(), 0));
  auto frame = from_gst(buffer.get(), info);
  ASSERT_TRUE(frame) << frame.error().message;
  EXPECT_NE(frame->tensors[0].memory, frame->tensors[1].memory);
  EXPECT_EQ(byte_at(frame->tensors[1], 1, 3), expected_at(7));
  EXPECT_EQ(gst_buffer(*frame), buffer.get());
}

TEST_F(GstFrame, RefusesABufferThatDoesNotHoldItsPicture) {
  const auto info = info_of(GST_VIDEO_FORMAT_NV12, 32, 16);
  const auto error = [&](BufferPtr buffer) {
    auto frame = from_gst(buffer.get(), info);
    EXPECT_EQ(refs(buffer.get()), 1);
    return frame ? ErrorCode::internal : frame.error().code;
  };
  EXPECT_EQ(error(counting_buffer(info.size - 1)), ErrorCode::corrupt);
  EXPECT_EQ(error(BufferPtr(gst_buffer_new())), ErrorCode::corrupt);
  const auto with_meta = [&](GstVideoFormat format, guint width, gsize last_offset, gint last_stride) {
    auto buffer = counting_buffer(info.size);
    gsize offset[GST_VIDEO_MAX_PLANES] = {0, last_offset};
    gint stride[GST_VIDEO_MAX_PLANES] = {32, last_stride};
    gst_buffer_add_video_meta_full(buffer.get(), GST_VIDEO_FRAME_FLAG_NONE, format, width, 16, 2, offset,
                                   stride);
    return buffer;
  };
  EXPECT_EQ(error(with_meta(GST_VIDEO_FORMAT_NV12, 32, info.size, 32)), ErrorCode::corrupt);
  EXPECT_EQ(error(with_meta(GST_VIDEO_FORMAT_NV12, 32, 512, -32)), ErrorCode::unsupported);
  EXPECT_EQ(error(with_meta(GST_VIDEO_FORMAT_NV12, 32, 512, 31)), ErrorCode::unsupported);
  EXPECT_EQ(error(with_meta(GST_VIDEO_FORMAT_NV21, 32, 512, 32)), ErrorCode::corrupt);
  EXPECT_EQ(error(with_meta(GST_VIDEO_FORMAT_NV12, 16, 512, 32)), ErrorCode::corrupt);
  EXPECT_FALSE(from_gst(nullptr, info));
  const auto unknown = info_of(GST_VIDEO_FORMAT_AYUV, 4, 4);
  EXPECT_EQ(from_gst(counting_buffer(unknown.size).get(), unknown).error().code, ErrorCode::not_negotiated);
  EXPECT_EQ(gst_buffer({}), nullptr);
}

TEST_F(GstFrame, IsMappedForTheCpuAndBackAsTheSameBuffer) {
  const auto info = info_of(GST_VIDEO_FORMAT_GRAY16_LE, 5, 3);
  auto buffer = counting_buffer(info.size);
  gsize offset[GST_VIDEO_MAX_PLANES] = {0};
  gst_buffer_add_video_meta_full(buffer.get(), GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_GRAY16_LE, 5, 3, 1,
                                 offset, info.stride);
  auto frame = from_gst(buffer.get(), info);
  ASSERT_TRUE(frame) << frame.error().message;
  {
    auto system = shared(*frame, MemoryKind::system, Access::read_write);
    ASSERT_TRUE(system) << system.error().message;
    *frame = {};
    map(system->frame().tensors[0], Access::write)->row<uint8_t>(2)[9] = 200;
    auto back = shared(system->frame(), MemoryKind::gst);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(gst_buffer(back->frame()), buffer.get());
    EXPECT_GT(refs(buffer.get()), 1);
  }
  EXPECT_EQ(refs(buffer.get()), 1);
  guint8 written = 0;
  gst_buffer_extract(buffer.get(), size_t(2 * info.stride[0] + 9), &written, 1);
  EXPECT_EQ(written, 200);
}

TEST_F(GstFrame, HoldsAPictureOfOursWhereItLies) {
  const VideoInfo video{.format = PixelFormat::p010, .width = 7, .height = 5};
  auto picture = allocate_frame(video);
  ASSERT_TRUE(picture);
  map(picture->tensors[1], Access::write)->row<uint8_t>(2)[15] = 42;
  auto mapped = shared(*picture, MemoryKind::gst, Access::read_write);
  ASSERT_TRUE(mapped) << mapped.error().message;
  GstBuffer* buffer = gst_buffer(mapped->frame());
  ASSERT_TRUE(buffer);
  const auto info = info_of(GST_VIDEO_FORMAT_P010_10LE, 7, 5);
  GstVideoFrame view;
  ASSERT_TRUE(gst_video_frame_map(&view, &info, buffer, GST_MAP_READWRITE));
  auto* chroma = static_cast<guint8*>(GST_VIDEO_FRAME_PLANE_DATA(&view, 1));
  EXPECT_EQ(chroma[2 * GST_VIDEO_FRAME_PLANE_STRIDE(&view, 1) + 15], 42);
  chroma[0] = 43;
  gst_video_frame_unmap(&view);
  EXPECT_EQ(byte_at(picture->tensors[1], 0, 0), 43);

  BufferPtr kept(gst_buffer_ref(buffer));
  *picture = {};
  *mapped = *shared(*from_gst(kept.get(), info), MemoryKind::system);
  EXPECT_EQ(byte_at(mapped->frame().tensors[1], 0, 0), 43) << "the buffer keeps the picture";
}

TEST_F(GstFrame, BecomesABufferWithItsTimesAndCrop) {
  auto picture = allocate_frame({.format = PixelFormat::gray8, .width = 7, .height = 5});
  picture->pts = 7;
  picture->crop = Crop{1, 1, 3, 3};
  auto made = to_gst(*picture);
  ASSERT_TRUE(made) << made.error().message;
  BufferPtr buffer(*made);
  auto frame = from_gst(buffer.get(), info_of(GST_VIDEO_FORMAT_GRAY8, 7, 5));
  ASSERT_TRUE(frame) << frame.error().message;
  EXPECT_EQ(frame->pts, 7);
  EXPECT_EQ(frame->crop, picture->crop);
  EXPECT_FALSE(to_gst({}));
}

TEST_F(GstFrame, HoldsAViewAndPlainTensors) {
  auto picture = allocate_frame({.format = PixelFormat::nv12, .width = 32, .height = 16});
  map(picture->tensors[1], Access::write)->row<uint8_t>(3)[12] = 9;
  auto view = view_of(*picture, {.x = 6, .y = 4, .w = 10, .h = 6});
  ASSERT_TRUE(view);
  auto mapped = shared(*view, MemoryKind::gst);
  ASSERT_TRUE(mapped) << mapped.error().message;
  auto again = from_gst(gst_buffer(mapped->frame()), info_of(GST_VIDEO_FORMAT_NV12, 10, 6));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(byte_at(again->tensors[1], 1, 6), 9);

  Frame tensors;
  auto block = allocate_memory(200);
  tensors.tensors = {tensor_in(*block, {.type = DataType::f32, .shape = {3}}, 8),
                     tensor_in(*block, {.type = DataType::u8, .shape = {5}}, 100),
                     *allocate_tensor({.type = DataType::i64, .shape = {2}})};
  map(tensors.tensors[1], Access::write)->as<uint8_t>()[4] = 77;
  auto plain = shared(tensors, MemoryKind::gst);
  ASSERT_TRUE(plain) << plain.error().message;
  EXPECT_EQ(gst_buffer_n_memory(gst_buffer(plain->frame())), 2u);
  auto back = shared(plain->frame(), MemoryKind::system);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(map(back->frame().tensors[1], Access::read)->as<uint8_t>()[4], 77);
}

TEST_F(GstFrame, RefusesWhatABufferCannotSay) {
  auto picture = allocate_frame({.format = PixelFormat::gray8, .width = 4, .height = 4});
  picture->tensors[0].strides = {-64, 1};
  EXPECT_FALSE(shared(*picture, MemoryKind::gst));
  picture->tensors[0].strides = {64, 2};
  EXPECT_FALSE(shared(*picture, MemoryKind::gst));
  picture->tensors[0].memory = nullptr;
  EXPECT_FALSE(map_to(*picture, {.form = {MemoryKind::gst, PixelFormat::gray8}}));
  Frame many;
  for (int i = 0; i < 17; ++i) many.tensors.push_back(*allocate_tensor({.type = DataType::u8, .shape = {1}}));
  EXPECT_EQ(shared(many, MemoryKind::gst).error().code, ErrorCode::unsupported);
}

TEST_F(GstFrame, OfDmabufMemoryIsADmabuf) {
  const auto info = info_of(GST_VIDEO_FORMAT_GRAY8, 16, 4);
  const int fd = memfd_create("test", MFD_CLOEXEC);
  ASSERT_EQ(ftruncate(fd, 4096), 0);
  const uint8_t mark = 99;
  ASSERT_EQ(pwrite(fd, &mark, 1, 3 * 16 + 15), 1);
  std::unique_ptr<GstAllocator, Unref> allocator(gst_dmabuf_allocator_new());
  BufferPtr buffer(gst_buffer_new());
  gst_buffer_append_memory(buffer.get(),
                           gst_dmabuf_allocator_alloc(allocator.get(), fd, 4096));  // takes the fd
  {
    auto frame = from_gst(buffer.get(), info);
    ASSERT_TRUE(frame) << frame.error().message;
    EXPECT_EQ(form_of(*frame), (Form{MemoryKind::dmabuf, PixelFormat::gray8}));
    EXPECT_GE(dmabuf_fd(*frame->tensors[0].memory), 0);
    EXPECT_EQ(byte_at(frame->tensors[0], 3, 15), 99);
    EXPECT_EQ(refs(buffer.get()), 2) << "the pool must not use the pages again";
    auto again = shared(*frame, MemoryKind::gst);
    ASSERT_TRUE(again) << again.error().message;
    GstMemory* memory = gst_buffer_peek_memory(gst_buffer(again->frame()), 0);
    EXPECT_TRUE(gst_is_dmabuf_memory(memory));
    GstMapInfo map;
    ASSERT_TRUE(gst_memory_map(memory, &map, GST_MAP_READ));
    EXPECT_EQ(map.data[3 * 16 + 15], 99);
    gst_memory_unmap(memory, &map);
  }
  EXPECT_EQ(refs(buffer.get()), 1);
}

TEST_F(GstFrame, OfAVaSurfaceIsNotToBeHad) {
  EXPECT_EQ(default_context(MemoryKind::va).error().code, ErrorCode::unavailable);
  auto plan = plan_map({MemoryKind::system, PixelFormat::nv12}, {MemoryKind::va, PixelFormat::nv12});
  ASSERT_FALSE(plan);
  EXPECT_NE(plan.error().message.find("memory:DMABuf"), std::string::npos) << plan.error().message;
}

}  // namespace
}  // namespace sightglass::gst
