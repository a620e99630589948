// FFmpeg's objects as owning pointers.
#pragma once

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>
}

#include <memory>

namespace sightglass {

struct AvFree {
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
  void operator()(AVCodecContext* codec) const { avcodec_free_context(&codec); }
  void operator()(SwsContext* context) const { sws_freeContext(context); }
};
struct AvCloseInput {
  void operator()(AVFormatContext* input) const { avformat_close_input(&input); }
};

using AvFramePtr = std::unique_ptr<AVFrame, AvFree>;
using AvPacketPtr = std::unique_ptr<AVPacket, AvFree>;
using AvCodecPtr = std::unique_ptr<AVCodecContext, AvFree>;
using SwsPtr = std::unique_ptr<SwsContext, AvFree>;
using AvInputPtr = std::unique_ptr<AVFormatContext, AvCloseInput>;

}  // namespace sightglass
