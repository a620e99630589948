// H.264 and HEVC as MP4 and Matroska hold them, each NAL unit behind its length, as byte stream, in place: a
// start code is as long as a length of four bytes. What opens a group of pictures is moved to make room for
// the parameter sets before it. FFmpeg's bitstream filters copy each packet, and are left those that need
// more.
//
//   ByteStream byte_stream(*stream->codecpar);
//   byte_stream.set_parameter_sets(sets);
//   if (!byte_stream.convert(packet)) …its bytes are as they were: the filter has to convert them…
//
// One thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

extern "C" {
#include <libavcodec/codec_par.h>
#include <libavcodec/packet.h>
}

namespace sightglass::adapters {

class ByteStream {
 public:
  explicit ByteStream(const AVCodecParameters& codec);

  // As byte stream: they stand before each picture that opens a group. Without them those are left to the
  // filter.
  void set_parameter_sets(std::span<const uint8_t> sets) { parameter_sets_.assign(sets.begin(), sets.end()); }
  // Whether convert() tells keyframes from others by itself. Where it does not, FFmpeg's parser has to.
  bool tells_keyframes() const { return form_ == Form::prefixed; }

  // True: the packet is a byte stream now, or was one already and opens no group of pictures. Its flag for
  // keyframes is what FFmpeg's parser would make it, unless its lengths are wrong.
  bool convert(AVPacket& packet);

 private:
  struct Found {
    bool is_whole = true;     // its lengths are right
    bool is_simple = true;    // nothing but slices and what may stand beside them
    bool has_sets = false;    // parameter sets
    bool recovers = false;    // by its supplemental information decoding may begin here
    size_t opens = SIZE_MAX;  // where the first slice is that opens a group
  };
  Found look(std::span<const uint8_t> bytes) const;

  enum class Form : uint8_t { other, byte_stream, prefixed };  // other: left to the filter
  Form form_ = Form::other;
  bool is_hevc_ = false;
  std::vector<uint8_t> parameter_sets_;
};

}  // namespace sightglass::adapters
