// What FFmpeg calls our pixel formats, colours and times. For the sources that use FFmpeg themselves.
#pragma once

extern "C" {
#include <libavutil/frame.h>
#include <libavutil/pixfmt.h>
}

#include <array>
#include <optional>
#include <string>

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"
#include "sightglass/core/video.h"

namespace sightglass {

AVPixelFormat to_av(PixelFormat format);
std::optional<PixelFormat> from_av(AVPixelFormat format);  // RGBP for gbrp, I420 for yuv420p and yuvj420p
// Which of the AVFrame's planes is our plane 0, 1, 2.
std::array<uint8_t, 3> plane_order(PixelFormat format);

// Size, format and colour, the crop already applied. Unspecified colours are those that GStreamer assumes.
Result<VideoInfo> video_of(const AVFrame& frame);
// Sets the size, format and colour of the AVFrame.
void set_video(AVFrame& frame, const VideoInfo& video);

// The message that belongs to an FFmpeg error number.
std::string av_message(int error);

}  // namespace sightglass
