// H.264 and HEVC as MP4 and Matroska hold them, each NAL unit behind its length, as byte stream, in place: a
// start code is as long as a length of four bytes. Only what needs nothing else is converted: FFmpeg's
// bitstream filters copy each packet, and are left those that open a group of pictures and need parameter
// sets before them.
//
//   const ByteStream byte_stream(*stream->codecpar);
//   if (!byte_stream.convert(packet)) …packet is as it was: the filter has to do it…
#pragma once

#include <cstdint>
#include <span>

extern "C" {
#include <libavcodec/codec_par.h>
#include <libavcodec/packet.h>
}

namespace sightglass::adapters {

class ByteStream {
 public:
  explicit ByteStream(const AVCodecParameters& codec);

  // True: the packet is a byte stream now, or was one already and opens no group of pictures.
  bool convert(AVPacket& packet) const;

 private:
  bool is_simple(std::span<const uint8_t> bytes) const;

  enum class Form : uint8_t { other, byte_stream, prefixed };  // other: left to the filter
  Form form_ = Form::other;
  bool is_hevc_ = false;
};

}  // namespace sightglass::adapters
