#include "sightglass/gst/frame_bridge.h"

#include <algorithm>

#include "sightglass/gst/caps.h"
#include "sightglass/gst/frame_meta.h"
#include "sightglass/memory/gst/gst_cuda.h"

namespace sightglass::gst {

Status FrameBridge::set_caps(const GstCaps* caps) {
  auto format = to_format(caps, &video_);
  if (!format) return forward_error(format);
  format_ = std::move(*format);
  return {};
}

PixelSize FrameBridge::pixel_size() const {
  const auto* video = format_.video();
  return video ? PixelSize{video->width, video->height} : PixelSize{};
}

size_t FrameBridge::frame_bytes() const {
  if (format_.video()) return GST_VIDEO_INFO_SIZE(&video_);
  size_t bytes = 0;
  if (const auto* info = format_.tensors()) {
    for (const auto& tensor : info->tensors) bytes += tensor.bytes();
  }
  return bytes;
}

void FrameBridge::read_metadata(GstBuffer* buffer, bool results, Frame& frame) const {
  frame.clear();
  frame.pts = from_clock_time(GST_BUFFER_PTS(buffer));
  frame.duration = from_clock_time(GST_BUFFER_DURATION(buffer));
  const bool has_results = read_frame_metas(buffer, frame, results);
  if (results && !has_results) read_results(buffer, pixel_size(), frame);
}

Status FrameBridge::read(GstBuffer* buffer, bool results, Frame& frame) {
  read_metadata(buffer, results, frame);
  return attach(buffer, Use::input, frame);
}

Status FrameBridge::read_for_writing(GstBuffer* buffer, bool results, Frame& frame) {
  read_metadata(buffer, results, frame);
  return attach(buffer, Use::change, frame);
}

Status FrameBridge::attach_output(GstBuffer* buffer, Frame& frame) {
  frame.tensors.clear();
  return attach(buffer, Use::output, frame);
}

// Blocks of a device are themselves, whatever GStreamer holds around them.
Result<MemoryRef> FrameBridge::wrap_block(GstBuffer* buffer, GstMemory* memory, Use use) {
  if (format_.memory == MemoryKind::cuda) {
    if (MemoryRef own = unwrap_memory(memory); own && own->kind() == MemoryKind::cuda) return own;
    if (shows_device_memory_ && is_cuda_memory(memory))
      return wrap_cuda_memory(buffer, memory, use == Use::change ? Access::read_write : Access::read);
  }
  return use == Use::output ? memories_->wrap_output(memory) : memories_->wrap(buffer, memory);
}

// Appends the tensor that starts `offset` bytes into the buffer.
Status FrameBridge::locate(GstBuffer* buffer, Use use, size_t offset, const TensorInfo& info, Frame& frame) {
  guint index = 0, length = 0;
  gsize skip = 0;
  if (!gst_buffer_find_memory(buffer, offset, std::max<size_t>(info.bytes(), 1), &index, &length, &skip) ||
      length != 1) {
    return fail(ErrorCode::corrupt, "a buffer of {} bytes does not hold {}", gst_buffer_get_size(buffer),
                to_string(format_));
  }
  auto* memory = gst_buffer_peek_memory(buffer, index);
  auto ref = !frame.tensors.empty() && last_ == memory ? Result<MemoryRef>(frame.tensors.back().memory)
                                                       : wrap_block(buffer, memory, use);
  if (!ref) return forward_error(ref);
  last_ = memory;
  frame.tensors.push_back({*std::move(ref), skip, info.type, info.layout, info.shape,
                           info.strides.empty() ? dense_strides(info.shape, info.type) : info.strides});
  return {};
}

Status FrameBridge::attach(GstBuffer* buffer, Use use, Frame& frame) {
  if (const auto* video = format_.video()) {
    frame.video = *video;
    const auto* meta = gst_buffer_get_video_meta(buffer);
    for (size_t plane = 0; plane < plane_count(video->format); ++plane) {
      const size_t offset = meta ? meta->offset[plane] : GST_VIDEO_INFO_PLANE_OFFSET(&video_, plane);
      const int64_t stride = meta ? meta->stride[plane] : GST_VIDEO_INFO_PLANE_STRIDE(&video_, plane);
      const int64_t row =
          int64_t(plane_width(*video, plane)) * plane_layout(video->format, plane).pixel_bytes;
      const TensorInfo info{
          .type = DataType::u8, .shape = {plane_height(*video, plane), row}, .strides = {stride, 1}};
      if (auto status = locate(buffer, use, offset, info, frame); !status) return status;
    }
    return {};
  }
  frame.video.reset();
  const auto* tensors = format_.tensors();
  if (!tensors) return {};
  if (tensors->model == sound_model) {
    TensorInfo sound = tensors->tensors[0];
    sound.shape[1] = int64_t(gst_buffer_get_size(buffer)) / sound.strides[1];
    return locate(buffer, use, 0, sound, frame);
  }
  // One memory per tensor, or all behind each other in one.
  const bool separate = gst_buffer_n_memory(buffer) == tensors->tensors.size();
  size_t offset = 0;
  for (guint i = 0; const auto& info : tensors->tensors) {
    if (auto status = locate(buffer, use, offset, info, frame); !status) return status;
    offset += separate ? gst_buffer_peek_memory(buffer, i++)->size : info.bytes();
  }
  return {};
}

GstBuffer* FrameBridge::make_buffer(const Frame& frame) const {
  auto* buffer = wrap(frame);
  write_frame_metas(frame, buffer);
  return buffer;
}

GstBuffer* FrameBridge::wrap(const Frame& frame) const {
  auto* buffer = gst_buffer_new();
  GST_BUFFER_PTS(buffer) = to_clock_time(frame.pts);
  GST_BUFFER_DURATION(buffer) = to_clock_time(frame.duration);
  const Memory* last = nullptr;
  gsize start = 0, next = 0;  // of the last memory appended, in the buffer
  gsize offsets[GST_VIDEO_MAX_PLANES] = {};
  gint strides[GST_VIDEO_MAX_PLANES] = {};
  for (size_t i = 0; i < frame.tensors.size(); ++i) {
    const auto& tensor = frame.tensors[i];
    auto* foreign = foreign_memory(*tensor.memory);
    // The planes of a picture lie in one memory and are found by their offsets; a plain tensor starts where
    // its memory does.
    if (tensor.memory.get() != last || !frame.video) {
      last = tensor.memory.get();
      auto* memory = foreign ? gst_memory_ref(foreign) : wrap_memory(tensor.memory);
      // A part of it is cut out exactly: what comes next finds tensors by the sizes of their memories.
      if (!frame.video && (tensor.offset > 0 || tensor.bytes() < memory->size)) {
        auto* part = gst_memory_share(memory, gssize(tensor.offset), gssize(tensor.bytes()));
        gst_memory_unref(memory);
        memory = part;
      }
      start = next;
      next += memory->size;
      gst_buffer_append_memory(buffer, memory);
    }
    if (i < GST_VIDEO_MAX_PLANES) {
      offsets[i] = start + tensor.offset;
      strides[i] = gint(tensor.strides[0]);
    }
  }
  if (frame.video && !frame.tensors.empty()) {
    const auto format = gst_video_format_from_string(std::string(to_string(frame.video->format)).c_str());
    gst_buffer_add_video_meta_full(buffer, GST_VIDEO_FRAME_FLAG_NONE, format, guint(frame.video->width),
                                   guint(frame.video->height), guint(frame.tensors.size()), offsets, strides);
  }
  return buffer;
}

}  // namespace sightglass::gst
