#include "sightglass/adapters/sources/byte_stream.h"

#include <algorithm>
#include <cstring>

namespace sightglass::adapters {
namespace {

constexpr size_t prefix = 4;
constexpr uint8_t start_code[prefix] = {0, 0, 0, 1};

size_t length_at(const uint8_t* at) {
  return size_t(at[0]) << 24 | size_t(at[1]) << 16 | size_t(at[2]) << 8 | size_t(at[3]);
}

// Slices that open nothing, supplemental information, delimiters and filling; and slices that open a group.
enum class Nal : uint8_t { simple, opening, other };

constexpr unsigned h264_idr = 5, h264_sei = 6;

Nal kind_of_h264(unsigned type) {
  if (type == h264_idr) return Nal::opening;
  return (type >= 1 && type <= 4) || type == h264_sei || type == 9 || type == 12 ? Nal::simple : Nal::other;
}
Nal kind_of_hevc(unsigned type) {
  if (type >= 16 && type <= 23) return Nal::opening;
  return type <= 9 || type == 35 || (type >= 38 && type <= 40) ? Nal::simple : Nal::other;
}

// Whether a NAL unit with supplemental information has a recovery point (H.264, 7.3.2.3 and D.1.8).
bool has_recovery_point(std::span<const uint8_t> nal) {
  size_t at = 1;
  unsigned zeros = 0;
  // The next byte of what is meant: a three behind two zeros only keeps start codes from arising.
  const auto next = [&]() -> int {
    if (at < nal.size() && zeros >= 2 && nal[at] == 3) ++at, zeros = 0;
    if (at >= nal.size()) return -1;
    zeros = nal[at] ? 0 : zeros + 1;
    return nal[at++];
  };
  const auto number = [&] {
    int64_t sum = 0;
    for (int byte = next();; byte = next()) {
      if (byte < 0) return int64_t(-1);
      sum += byte;
      if (byte != 0xff) return sum;
    }
  };
  for (;;) {
    const int64_t type = number(), size = number();
    if (type < 0 || size < 0) return false;
    if (type == 6) return true;
    for (int64_t i = 0; i < size; ++i)
      if (next() < 0) return false;
  }
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

bool ByteStream::convert(AVPacket& packet) {
  if (form_ == Form::other) return false;
  if (form_ == Form::byte_stream) return !(packet.flags & AV_PKT_FLAG_KEY);
  const size_t size = size_t(packet.size);
  const Found found = look({packet.data, size});
  const bool opens = found.opens < size, is_key = opens || found.recovers;
  if (found.is_whole) packet.flags = (packet.flags & ~AV_PKT_FLAG_KEY) | (is_key ? AV_PKT_FLAG_KEY : 0);
  if (av_packet_get_side_data(&packet, AV_PKT_DATA_NEW_EXTRADATA, nullptr)) {
    parameter_sets_.clear();  // the filter reads the new ones
    return false;
  }
  if (found.has_sets) parameter_sets_.clear();  // and knows those that stand among slices
  if (!found.is_whole || !found.is_simple || (opens && parameter_sets_.empty())) return false;
  // A reader of the file may keep what it has read; then it is not ours to change.
  if (!packet.buf || !av_buffer_is_writable(packet.buf)) return false;
  if (opens && av_grow_packet(&packet, int(parameter_sets_.size())) < 0) return false;
  for (size_t at = 0; at < size;) {
    const size_t length = length_at(packet.data + at);
    std::copy_n(start_code, prefix, packet.data + at);
    at += prefix + length;
  }
  if (!opens) return true;
  uint8_t* const place = packet.data + found.opens;
  std::memmove(place + parameter_sets_.size(), place, size - found.opens);
  std::ranges::copy(parameter_sets_, place);
  return true;
}

ByteStream::Found ByteStream::look(std::span<const uint8_t> bytes) const {
  Found found;
  size_t at = 0;
  while (bytes.size() - at > prefix) {
    const size_t length = length_at(&bytes[at]);
    if (length == 0 || length > bytes.size() - at - prefix) break;
    const uint8_t header = bytes[at + prefix];
    const unsigned type = is_hevc_ ? header >> 1 & 0x3f : header & 0x1f;
    const Nal kind = is_hevc_ ? kind_of_hevc(type) : kind_of_h264(type);
    if (kind == Nal::opening) found.opens = std::min(found.opens, at);
    if (kind == Nal::other) found.is_simple = false;
    if (is_hevc_ ? type >= 32 && type <= 34 : type == 7 || type == 8) found.has_sets = true;
    if (!is_hevc_ && type == h264_sei && has_recovery_point(bytes.subspan(at + prefix, length)))
      found.recovers = true;
    at += prefix + length;
  }
  found.is_whole = at == bytes.size();
  return found;
}

}  // namespace sightglass::adapters
