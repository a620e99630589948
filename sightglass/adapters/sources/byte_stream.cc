#include "sightglass/adapters/sources/byte_stream.h"

#include <algorithm>

namespace sightglass::adapters {
namespace {

constexpr size_t prefix = 4;
constexpr uint8_t start_code[prefix] = {0, 0, 0, 1};

size_t length_at(const uint8_t* at) {
  return size_t(at[0]) << 24 | size_t(at[1]) << 16 | size_t(at[2]) << 8 | size_t(at[3]);
}

// Slices that open nothing, supplemental information, delimiters and filling.
bool is_simple_h264(uint8_t header) {
  const unsigned type = header & 0x1f;
  return (type >= 1 && type <= 4) || type == 6 || type == 9 || type == 12;
}
bool is_simple_hevc(uint8_t header) {
  const unsigned type = header >> 1 & 0x3f;
  return type <= 9 || type == 35 || (type >= 38 && type <= 40);
}

}  // namespace

ByteStream::ByteStream(const AVCodecParameters& codec) : is_hevc_(codec.codec_id == AV_CODEC_ID_HEVC) {
  if (!is_hevc_ && codec.codec_id != AV_CODEC_ID_H264) return;
  // The configuration of the prefixed form begins with a version, and says how long lengths are.
  if (codec.extradata_size <= 0 || codec.extradata[0] != 1) {
    form_ = Form::byte_stream;
    return;
  }
  const int place = is_hevc_ ? 21 : 4;
  if (codec.extradata_size > place && (codec.extradata[place] & 3) + 1 == int(prefix)) form_ = Form::prefixed;
}

bool ByteStream::convert(AVPacket& packet) const {
  if (form_ == Form::other || packet.flags & AV_PKT_FLAG_KEY ||
      av_packet_get_side_data(&packet, AV_PKT_DATA_NEW_EXTRADATA, nullptr))
    return false;
  if (form_ == Form::byte_stream) return true;
  const std::span bytes(packet.data, size_t(packet.size));
  // A reader of the file may keep what it has read; then it is not ours to change.
  if (!is_simple(bytes) || !packet.buf || !av_buffer_is_writable(packet.buf)) return false;
  for (size_t at = 0; at < bytes.size();) {
    const size_t length = length_at(&bytes[at]);
    std::copy_n(start_code, prefix, &bytes[at]);
    at += prefix + length;
  }
  return true;
}

bool ByteStream::is_simple(std::span<const uint8_t> bytes) const {
  size_t at = 0;
  while (bytes.size() - at > prefix) {
    const size_t length = length_at(&bytes[at]);
    at += prefix;
    if (length == 0 || length > bytes.size() - at) return false;
    if (!(is_hevc_ ? is_simple_hevc(bytes[at]) : is_simple_h264(bytes[at]))) return false;
    at += length;
  }
  return at == bytes.size();
}

}  // namespace sightglass::adapters
