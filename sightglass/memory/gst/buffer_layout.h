// Where the planes of a picture lie in a buffer. For the sources of this folder.
#pragma once

#include <gst/video/video.h>

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"

namespace sightglass::gst {

// The planes with times and crop of the buffer; each tensor's memory is missing, its offset is that in the
// memory `memory[plane]` of the buffer.
struct BufferPlanes {
  Frame frame;
  GstMemory* memory[GST_VIDEO_MAX_PLANES] = {};  // lent
};
Result<BufferPlanes> planes_of(GstBuffer* buffer, const GstVideoInfo& info);

}  // namespace sightglass::gst
