#include "sightglass/memory/gst/gst_frame.h"

#include <gst/allocators/gstdmabuf.h>
#include <gst/video/video.h>

#include <algorithm>
#include <string>

#include "sightglass/memory/dmabuf/dmabuf_memory.h"
#include "sightglass/memory/gst/buffer_layout.h"
#include "sightglass/memory/gst/gst_cuda.h"
#include "sightglass/memory/gst/gst_memory.h"
#include "sightglass/memory/gst/handles.h"

namespace sightglass {
namespace gst {
namespace {

// A DMA-BUF's pages may be used again by the pool as soon as the buffer is back.
Result<MemoryRef> wrap_fd(GstBuffer* buffer, GstMemory* memory) {
  gsize offset = 0;
  const gsize size = gst_memory_get_sizes(memory, &offset, nullptr);
  return wrap_dmabuf(gst_dmabuf_memory_get_fd(memory), offset, size,
                     [held = gst_buffer_ref(buffer)]() noexcept { gst_buffer_unref(held); });
}

}  // namespace

Result<BufferPlanes> planes_of(GstBuffer* buffer, const GstVideoInfo& info) {
  if (!buffer) return fail(ErrorCode::invalid_argument, "the GstBuffer is null");
  auto video = to_video_info(info);
  if (!video) return forward_error(video);
  BufferPlanes planes;
  planes.frame.video = *video;
  planes.frame.pts = from_clock_time(GST_BUFFER_PTS(buffer));
  planes.frame.duration = from_clock_time(GST_BUFFER_DURATION(buffer));
  if (const auto* crop = gst_buffer_get_video_crop_meta(buffer))
    planes.frame.crop = Crop{int(crop->x), int(crop->y), int(crop->width), int(crop->height)};

  const size_t count = plane_count(video->format);
  const auto* meta = gst_buffer_get_video_meta(buffer);
  const bool meta_fits = !meta || (meta->format == GST_VIDEO_INFO_FORMAT(&info) && meta->n_planes == count &&
                                   int(meta->width) >= video->width && int(meta->height) >= video->height);
  if (!meta_fits)
    return fail(ErrorCode::corrupt,
                "the buffer's GstVideoMeta describes another picture than its caps, {} of {}x{}",
                to_string(video->format), video->width, video->height);
  for (size_t plane = 0; plane < count; ++plane) {
    const size_t offset = meta ? meta->offset[plane] : GST_VIDEO_INFO_PLANE_OFFSET(&info, plane);
    const int64_t stride = meta ? meta->stride[plane] : GST_VIDEO_INFO_PLANE_STRIDE(&info, plane);
    Tensor tensor{.layout = Layout::hw};
    tensor.shape = {plane_height(*video, plane),
                    int64_t(plane_width(*video, plane)) * plane_layout(video->format, plane).pixel_bytes};
    tensor.strides = {stride, 1};
    if (stride < tensor.shape[1])
      return fail(ErrorCode::unsupported, "plane {} of the buffer has rows of {} bytes at a stride of {}",
                  plane, tensor.shape[1], stride);
    guint index = 0, length = 0;
    gsize skip = 0;
    if (!gst_buffer_find_memory(buffer, offset, tensor.bytes(), &index, &length, &skip) || length != 1)
      return fail(ErrorCode::corrupt,
                  "a buffer of {} bytes in {} memories does not hold plane {} of a picture {} of {}x{}",
                  gst_buffer_get_size(buffer), gst_buffer_n_memory(buffer), plane, to_string(video->format),
                  video->width, video->height);
    planes.memory[plane] = gst_buffer_peek_memory(buffer, index);
    tensor.offset = skip;
    planes.frame.tensors.push_back(std::move(tensor));
  }
  return planes;
}

}  // namespace gst

Result<VideoInfo> to_video_info(const GstVideoInfo& info) {
  const char* name = gst_video_format_to_string(GST_VIDEO_INFO_FORMAT(&info));
  const auto format = name ? pixel_format(name) : std::nullopt;
  if (!format)
    return fail(ErrorCode::not_negotiated, "pictures of format {} are not supported", name ? name : "none");
  VideoInfo video;
  video.format = *format;
  video.width = GST_VIDEO_INFO_WIDTH(&info);
  video.height = GST_VIDEO_INFO_HEIGHT(&info);
  video.full_range = info.colorimetry.range == GST_VIDEO_COLOR_RANGE_0_255;
  video.matrix = info.colorimetry.matrix == GST_VIDEO_COLOR_MATRIX_BT709    ? ColorMatrix::bt709
                 : info.colorimetry.matrix == GST_VIDEO_COLOR_MATRIX_BT2020 ? ColorMatrix::bt2020
                                                                            : ColorMatrix::bt601;
  video.pixel_aspect = {GST_VIDEO_INFO_PAR_N(&info), GST_VIDEO_INFO_PAR_D(&info)};
  video.frame_rate = {GST_VIDEO_INFO_FPS_N(&info), GST_VIDEO_INFO_FPS_D(&info)};
  return video;
}

Result<Frame> from_gst(GstBuffer* buffer, const GstVideoInfo& info) {
  auto planes = gst::planes_of(buffer, info);
  if (!planes) return forward_error(planes);
  const size_t count = planes->frame.tensors.size();
  const auto all_are = [&](auto is_kind) {
    return std::all_of(planes->memory, planes->memory + count, is_kind);
  };
  const bool by_fd = all_are(gst_is_dmabuf_memory), on_cuda = all_are(gst::is_cuda_memory);
  // Wrappers are used again, so that a frame costs no allocation but that of its lists.
  static auto& memories = *new Ref(new gst::BufferMemories(MemoryKind::gst));
  for (size_t plane = 0; plane < count; ++plane) {
    size_t same = 0;
    while (planes->memory[same] != planes->memory[plane]) ++same;
    MemoryRef& memory = planes->frame.tensors[plane].memory;
    if (same < plane) {
      memory = planes->frame.tensors[same].memory;
    } else if (by_fd || on_cuda) {
      auto wrapped = by_fd ? gst::wrap_fd(buffer, planes->memory[plane])
                           : gst::wrap_cuda_memory(buffer, planes->memory[plane]);
      if (!wrapped) return forward_error(wrapped);
      memory = *std::move(wrapped);
    } else {
      memory = memories->wrap(buffer, planes->memory[plane]);
    }
  }
  return std::move(planes->frame);
}

GstBuffer* gst_buffer(const Frame& frame) {
  GstBuffer* buffer = nullptr;
  for (const Tensor& tensor : frame.tensors) {
    if (!tensor.memory || tensor.memory->kind() != MemoryKind::gst) return nullptr;
    GstBuffer* held = gst::held_buffer(*tensor.memory);
    if (!held || (buffer && held != buffer)) return nullptr;
    buffer = held;
  }
  return buffer;
}

}  // namespace sightglass
