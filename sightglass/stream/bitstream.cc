#include "sightglass/stream/bitstream.h"

#include <algorithm>

namespace sightglass::stream {
namespace {

// How far into the data is looked: headers lie in front, and hostile data must not cost more than this.
constexpr size_t furthest = 4 * MiB;
constexpr int most_jpeg_segments = 1024;

// Bits of the payload of a NAL unit (emulation prevention bytes left out), or of a plain header. Zeros past
// the end.
class BitReader {
 public:
  BitReader(Bytes bytes, bool emulation) : bytes_(bytes), emulation_(emulation) {}

  bool ok() const { return ok_; }
  uint32_t bits(int count) {
    uint32_t value = 0;
    for (; count > 0; --count) value = value << 1 | bit();
    return value;
  }
  bool flag() { return bits(1); }
  void skip(int count) {
    for (; count > 0; --count) bit();
  }
  // Exponential-Golomb codes.
  uint32_t ue() {
    int zeros = 0;
    while (ok_ && !bit()) {
      if (++zeros > 31) ok_ = false;
    }
    return ok_ ? (1u << zeros) - 1 + bits(zeros) : 0;
  }
  int32_t se() {
    const uint32_t code = ue();
    return code & 1 ? int32_t(code / 2 + 1) : -int32_t(code / 2);
  }

 private:
  uint32_t bit() {
    if (left_ == 0) {
      if (emulation_ && at_ >= 2 && at_ < bytes_.size() && bytes_[at_] == 3 && !bytes_[at_ - 1] &&
          !bytes_[at_ - 2])
        ++at_;
      if (at_ >= bytes_.size()) {
        ok_ = false;
        return 0;
      }
      byte_ = bytes_[at_++];
      left_ = 8;
    }
    return byte_ >> --left_ & 1;
  }

  Bytes bytes_;
  size_t at_ = 0;
  uint8_t byte_ = 0;
  int left_ = 0;
  bool emulation_;
  bool ok_ = true;
};

// Calls f(nal) for each NAL unit until it returns true. `nal` goes from behind the start code to the end of
// the data: where a unit ends is of no interest here, and far off for a slice.
template <class F>
void for_each_nal(Bytes data, F&& f) {
  data = data.first(std::min(data.size(), furthest));
  for (size_t at = 0; at + 3 < data.size();) {
    const auto* one = static_cast<const uint8_t*>(std::memchr(data.data() + at + 2, 1, data.size() - at - 2));
    if (!one) return;
    at = size_t(one - data.data()) - 1;
    if (data[at] || data[at - 1]) continue;
    at += 2;
    if (at < data.size() && f(data.subspan(at))) return;
  }
}

std::optional<bool> is_h264_keyframe(Bytes data) {
  std::optional<bool> result;
  for_each_nal(data, [&](Bytes nal) {
    if (nal.empty()) return false;
    const int type = nal[0] & 31;
    if (type == 5) result = true;
    if (type < 1 || type > 5) return false;
    if (type != 1) return type == 5;  // data partitions follow a slice header of their own
    BitReader in(nal.subspan(1), true);
    in.ue();
    const uint32_t slice = in.ue();
    const bool intra = in.ok() && (slice % 5 == 2 || slice % 5 == 4);
    result = intra;
    // From 5 on all slices of the picture are of that type; else each may be of another.
    return !intra || slice >= 5;
  });
  return result;
}

std::optional<bool> is_hevc_keyframe(Bytes data) {
  std::optional<bool> result;
  for_each_nal(data, [&](Bytes nal) {
    if (nal.size() < 2) return false;
    const int type = nal[0] >> 1 & 63;
    if (type > 31) return false;
    result = type >= 16 && type <= 23;
    return true;
  });
  return result;
}

PictureSize cropped(uint64_t width, uint64_t height, uint64_t crop_width, uint64_t crop_height) {
  const auto rest = [](uint64_t size, uint64_t crop) {
    return int32_t(crop < size ? std::min<uint64_t>(size - crop, INT32_MAX) : 0);
  };
  return {rest(width, crop_width), rest(height, crop_height)};
}

std::optional<PictureSize> h264_sps_size(Bytes nal) {
  BitReader in(nal.subspan(1), true);
  const uint32_t profile = in.bits(8);
  in.skip(16);
  in.ue();
  uint32_t chroma = 1;
  bool separate = false;
  static constexpr uint32_t high[] = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135};
  if (std::ranges::contains(high, profile)) {
    chroma = in.ue();
    if (chroma == 3) separate = in.flag();
    in.ue();
    in.ue();
    in.flag();
    if (in.flag()) {
      for (int i = 0; i < (chroma == 3 ? 12 : 8); ++i) {
        if (!in.flag()) continue;
        int32_t last = 8, next = 8;
        for (int j = 0; j < (i < 6 ? 16 : 64) && in.ok(); ++j) {
          if (next) next = int32_t(uint32_t(last) + uint32_t(in.se())) & 255;
          if (next) last = next;
        }
      }
    }
  }
  in.ue();
  const uint32_t order = in.ue();
  if (order == 0) {
    in.ue();
  } else if (order == 1) {
    in.flag();
    in.ue();
    in.ue();
    for (uint32_t i = in.ue(); i > 0 && in.ok(); --i) in.ue();
  }
  in.ue();
  in.flag();
  const uint64_t width = uint64_t(in.ue()) + 1, units = uint64_t(in.ue()) + 1;
  const bool frames_only = in.flag();
  if (!frames_only) in.flag();
  in.flag();
  uint64_t crop[4] = {};
  if (in.flag()) {
    for (uint64_t& side : crop) side = in.ue();
  }
  if (!in.ok() || chroma > 3) return std::nullopt;
  const bool subsampled = chroma && !separate;
  const uint64_t crop_x = subsampled && chroma < 3 ? 2 : 1;
  const uint64_t crop_y = (subsampled && chroma == 1 ? 2 : 1) * (frames_only ? 1 : 2);
  return cropped(16 * width, 16 * units * (frames_only ? 1 : 2), (crop[0] + crop[1]) * crop_x,
                 (crop[2] + crop[3]) * crop_y);
}

std::optional<PictureSize> hevc_sps_size(Bytes nal) {
  BitReader in(nal.subspan(2), true);
  in.skip(4);
  const uint32_t layers = in.bits(3);
  in.flag();
  in.skip(96);  // profile, tier and level
  bool profiles[8] = {}, levels[8] = {};
  for (uint32_t i = 0; i < layers; ++i) {
    profiles[i] = in.flag();
    levels[i] = in.flag();
  }
  if (layers) in.skip(2 * int(8 - layers));
  for (uint32_t i = 0; i < layers; ++i) in.skip((profiles[i] ? 88 : 0) + (levels[i] ? 8 : 0));
  in.ue();
  const uint32_t chroma = in.ue();
  bool separate = false;
  if (chroma == 3) separate = in.flag();
  const uint64_t width = in.ue(), height = in.ue();
  uint64_t crop[4] = {};
  if (in.flag()) {
    for (uint64_t& side : crop) side = in.ue();
  }
  if (!in.ok() || chroma > 3) return std::nullopt;
  const uint64_t crop_x = !separate && (chroma == 1 || chroma == 2) ? 2 : 1;
  const uint64_t crop_y = !separate && chroma == 1 ? 2 : 1;
  return cropped(width, height, (crop[0] + crop[1]) * crop_x, (crop[2] + crop[3]) * crop_y);
}

// The first SPS, which stands before the first slice.
std::optional<PictureSize> sps_size(Bytes data, bool hevc) {
  std::optional<PictureSize> size;
  for_each_nal(data, [&](Bytes nal) {
    if (nal.size() < 4) return false;
    const int type = hevc ? nal[0] >> 1 & 63 : nal[0] & 31;
    if (type == (hevc ? 33 : 7)) {
      size = hevc ? hevc_sps_size(nal) : h264_sps_size(nal);
      return true;
    }
    return hevc ? type < 32 : type >= 1 && type <= 5;
  });
  return size;
}

std::optional<PictureSize> vp8_size(Bytes data) {
  if (data.size() < 10 || data[0] & 1 || data[3] != 0x9d || data[4] != 0x01 || data[5] != 0x2a)
    return std::nullopt;
  return PictureSize{(data[6] | data[7] << 8) & 0x3fff, (data[8] | data[9] << 8) & 0x3fff};
}

struct Vp9Header {
  bool keyframe = false;
  std::optional<PictureSize> size;
};

std::optional<Vp9Header> vp9_header(Bytes data) {
  BitReader in(data, false);
  if (in.bits(2) != 2) return std::nullopt;
  const uint32_t low = in.bits(1), profile = low | in.bits(1) << 1;
  if (profile == 3) in.flag();
  Vp9Header header;
  if (in.flag()) return header;  // shows a frame that was decoded before
  header.keyframe = !in.flag();
  in.skip(2);
  if (!header.keyframe) return in.ok() ? std::optional(header) : std::nullopt;
  if (in.bits(24) != 0x498342) return std::nullopt;
  if (profile >= 2) in.flag();
  constexpr uint32_t srgb = 7;
  if (in.bits(3) != srgb) {
    in.flag();
    if (profile & 1) in.skip(3);
  } else if (profile & 1) {
    in.flag();
  }
  const uint32_t width = in.bits(16) + 1, height = in.bits(16) + 1;
  if (!in.ok()) return std::nullopt;
  header.size = PictureSize{int32_t(width), int32_t(height)};
  return header;
}

std::optional<PictureSize> jpeg_size(Bytes data) {
  data = data.first(std::min(data.size(), furthest));
  if (data.size() < 4 || data[0] != 0xff || data[1] != 0xd8) return std::nullopt;
  size_t at = 2;
  for (int i = 0; i < most_jpeg_segments && at + 4 <= data.size(); ++i) {
    if (data[at] != 0xff) return std::nullopt;
    while (at + 4 < data.size() && data[at + 1] == 0xff) ++at;  // fill bytes
    const uint8_t marker = data[at + 1];
    if (marker == 0xda || marker == 0xd9) return std::nullopt;
    const bool frame = marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
    if (frame && at + 9 <= data.size()) {
      return PictureSize{data[at + 7] << 8 | data[at + 8], data[at + 5] << 8 | data[at + 6]};
    }
    if (at + 4 > data.size()) break;
    at += size_t(2) + size_t(data[at + 2] << 8 | data[at + 3]);
  }
  return std::nullopt;
}

std::optional<PictureSize> png_size(Bytes data) {
  static constexpr uint8_t head[] = {0x89, 'P', 'N', 'G', 13, 10, 26, 10, 0, 0, 0, 13, 'I', 'H', 'D', 'R'};
  if (data.size() < 24 || !std::equal(std::begin(head), std::end(head), data.begin())) return std::nullopt;
  const auto number = [&](size_t at) {
    const uint32_t value = uint32_t(data[at]) << 24 | data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3];
    return int32_t(std::min<uint32_t>(value, INT32_MAX));
  };
  return PictureSize{number(16), number(20)};
}

}  // namespace

std::optional<bool> is_keyframe(std::string_view codec, Bytes data) {
  if (data.empty()) return std::nullopt;
  if (codec == "h264") return is_h264_keyframe(data);
  if (codec == "hevc") return is_hevc_keyframe(data);
  if (codec == "vp8") return !(data[0] & 1);
  if (codec == "vp9") {
    const auto header = vp9_header(data);
    return header ? std::optional(header->keyframe) : std::nullopt;
  }
  if (codec == "jpeg" || codec == "mjpeg" || codec == "png" || codec == "raw") return true;
  return std::nullopt;
}

std::optional<PictureSize> picture_size(std::string_view codec, Bytes data) {
  if (codec == "h264" || codec == "hevc") return sps_size(data, codec == "hevc");
  if (codec == "vp8") return vp8_size(data);
  if (codec == "vp9") {
    const auto header = vp9_header(data);
    return header ? header->size : std::nullopt;
  }
  if (codec == "jpeg" || codec == "mjpeg") return jpeg_size(data);
  if (codec == "png") return png_size(data);
  return std::nullopt;
}

}  // namespace sightglass::stream
