// An encoder of FFmpeg's that takes our frames: chooses its pixel format, converts where that differs, and
// hands out packets. One thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"
#include "sightglass/elements/ffmpeg_media/av_handles.h"

namespace sightglass {

// The encoder for "h264", "mjpeg", … (of software first) or of FFmpeg's own name ("libx264"); auto: the usual
// one of the container. The error lists those that would do.
Result<const AVCodec*> find_video_encoder(std::string_view name, const AVOutputFormat& container);

class VideoEncoder {
 public:
  struct Settings {
    const AVCodec* codec = nullptr;
    AVRational time_base{1, 90'000};
    bool global_header = false;  // the container keeps the codec's header
    bool no_reordering = false;  // the container knows no decoding times
    unsigned bitrate = 0;        // kbit/s; 0: by quality
    int quality = -1;            // of the encoder's scale; -1: its default
    std::string preset;
  };
  using OnPacket = std::function<Status(AVPacket&)>;

  Status open(const VideoInfo& video, const Settings& settings);
  bool is_open() const { return bool(codec_); }
  void close() { codec_.reset(); }
  const VideoInfo& input() const { return input_; }  // what it was opened for
  const AVCodecContext& codec() const { return *codec_; }
  // What the user should know of the choices; empty: nothing.
  const std::string& remark() const { return remark_; }

  // `pts` and `duration` in units of the time base.
  Status encode(const Frame& frame, int64_t pts, int64_t duration, const OnPacket& on_packet);
  Status finish(const OnPacket& on_packet);  // what is held back; the encoder is done then

 private:
  Status receive(const OnPacket& on_packet);
  Status choose_format(const VideoInfo& video, const AVCodec& codec);

  VideoInfo input_;
  VideoInfo encoded_;  // what the encoder gets
  AVPixelFormat av_format_ = AV_PIX_FMT_NONE;
  std::string remark_;
  AvCodecPtr codec_;
  AvFramePtr picture_;
  AvPacketPtr packet_;
};

}  // namespace sightglass
