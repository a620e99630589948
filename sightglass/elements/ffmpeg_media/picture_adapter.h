// Decoded pictures that cannot be shared as they are: of a pixel format that we lack (10 bits in planes,
// palettes…) or stored bottom up. They are copied into the nearest of our formats.
#pragma once

#include <vector>

#include "sightglass/core/result.h"
#include "sightglass/core/video.h"
#include "sightglass/elements/ffmpeg_media/av_handles.h"

namespace sightglass {

class PictureAdapter {
 public:
  static bool needed(const AVFrame& picture);
  // The formats that such a picture can become, that with the least loss first.
  static std::vector<PixelFormat> choices(const AVFrame& picture);

  // Replaces the picture by a copy in that format. One thread.
  Status adapt(AVFrame& picture, PixelFormat format);

 private:
  SwsPtr context_;
};

}  // namespace sightglass
