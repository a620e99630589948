// GStreamer's buffers as frames and frames as GStreamer's buffers, without a copy either way.
//
//   auto frame = from_gst(buffer, info);              // planes, offsets and strides as GstVideoMeta says
//   auto mapped = map_to(*frame, {.form = {MemoryKind::opencv, PixelFormat::bgr}});
//   …
//   auto made = map_to(picture, {.form = {MemoryKind::gst, PixelFormat::nv12}});
//   gst_buffer_ref(gst_buffer(made->frame()));        // one buffer, a memory per block that the planes lie
//   in
//
// Frames keep the whole buffer alive, and with it its place in its pool. The kind of a frame is that of the
// buffer's memory: DMABuf gives dmabuf, CUDAMemory gives cuda (for reading), everything else gst, which the
// CPU maps by GStreamer's own mapping; so VAMemory is mapped too, and reaches other devices where its element
// is asked for memory:DMABuf instead. Thread-safe.
#pragma once

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"

using GstBuffer = struct _GstBuffer;
using GstVideoInfo = struct _GstVideoInfo;

namespace sightglass {

// With the times and the crop of the buffer. Fails for a format that a PixelFormat cannot be, and for a
// buffer that does not hold its picture.
Result<Frame> from_gst(GstBuffer* buffer, const GstVideoInfo& info);

// A new buffer around the memory of the frame, be it system, dmabuf or gst, with its times and crop; the
// caller's. Results are not written.
Result<GstBuffer*> to_gst(const Frame& frame);

// The buffer that all tensors of the frame lie in, lent; null for frames of another kind.
GstBuffer* gst_buffer(const Frame& frame);

// not_negotiated for a format that a PixelFormat cannot be.
Result<VideoInfo> to_video_info(const GstVideoInfo& info);

}  // namespace sightglass
