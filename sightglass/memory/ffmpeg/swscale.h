// Pictures of another pixel format, matrix or range, computed by FFmpeg's swscale: within two levels of the
// definition, alpha dropped or filled with 255. From 4:2:0 and 4:2:2 to RGB the fast way is taken: chroma
// repeated, within three levels. What map_to() uses between formats; call it where the matrix or the range
// has to change too.
//
//   VideoInfo full = *frame.video;
//   full.full_range = true;
//   auto converted = convert_picture(frame, full);
//
// Thread-safe. What a conversion needs (tables, memory) is kept for the next of the same formats and size, so
// that nothing is allocated once warm.
#pragma once

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"

namespace sightglass {

// `to` has the size of the picture. Times and results are not carried over.
Result<Frame> convert_picture(const Frame& frame, const VideoInfo& to);

// The same into memory that is there already, with any strides: one copy more.
Status convert_picture_into(const Frame& from, const Frame& to);

}  // namespace sightglass
