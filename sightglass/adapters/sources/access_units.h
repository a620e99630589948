// Reads a media file or URL as messages carry video: encoded frames in decoding order, H.264 and HEVC as byte
// stream with parameter sets at keyframes, each payload shares FFmpeg's buffer of its packet. Codecs which
// messages do not know (MPEG-4 part 2, …) are decoded, and come as raw I420 pictures.
//
//   auto units = AccessUnits::open("street.mp4");
//   while (auto unit = (*units)->next()) { if (!*unit) break; … }
//
// One thread; cancel() from any.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/core/result.h"
#include "sightglass/core/video.h"
#include "sightglass/stream/delivery.h"

namespace sightglass::adapters {

struct MediaInfo {
  std::string codec;  // as in VideoFrame
  int width = 0, height = 0;
  Fraction framerate{0, 1}, pixel_aspect{1, 1};
  Fraction time_base{1, 1'000'000'000};  // of the times of units, in seconds
  bool is_transcoded = false;            // decoded here
};

struct AccessUnit {
  stream::Payload payload;
  int64_t pts = 0, duration = 0;  // in MediaInfo::time_base; duration 0: unknown
  std::optional<int64_t> dts;
  std::optional<int64_t> captured_us;  // wall clock of the camera, where it is known
  bool keyframe = false;
};

struct MediaOptions {
  int timeout_ms = 10'000;  // waits of more than this for the network are errors
  std::string format;       // FFmpeg's name of the container; empty: found out
  std::string protocols;    // that FFmpeg may use, with commas between; empty: all
  std::vector<std::pair<std::string, std::string>> options;  // further ones of FFmpeg
  bool resumes = true;   // a broken connection of http(s) is opened again where it ended
  std::stop_token stop;  // as cancel() does it, while open() is at work too
};

class AccessUnits {
 public:
  // `location` is a path or a URL of FFmpeg.
  static Result<std::unique_ptr<AccessUnits>> open(const std::string& location,
                                                   const MediaOptions& options = {});
  virtual ~AccessUnits() = default;
  virtual const MediaInfo& info() const = 0;
  virtual Result<std::optional<AccessUnit>> next() = 0;  // none: the end
  // To the keyframe at or before a time from the beginning, seconds.
  virtual Status seek(double seconds) = 0;
  virtual void cancel() = 0;
};

}  // namespace sightglass::adapters
