// The little that has to be known of an encoded picture before a decoder sees it: whether decoding can start
// there, and how large it is. Reads headers only, never allocates, trusts nothing: any bytes are fine.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "sightglass/stream/avro/binary.h"

namespace sightglass::stream {

struct PictureSize {
  int32_t width = 0;
  int32_t height = 0;
  bool operator==(const PictureSize&) const = default;
};

// `codec` is that of VideoFrame; h264 and hevc are byte-stream with start codes. Nothing where it cannot be
// told: a codec that is not read here (av1), or data without a picture.
//   h264  an IDR picture, or one of intra slices only
//   hevc  a picture of IRAP type
//   vp8, vp9  what the frame header says; jpeg, mjpeg, png, raw  always
std::optional<bool> is_keyframe(std::string_view codec, Bytes data);

// As shown, after cropping: from the first SPS of h264 and hevc, the header of vp8 and vp9 keyframes, of
// jpeg, mjpeg and png.
std::optional<PictureSize> picture_size(std::string_view codec, Bytes data);

}  // namespace sightglass::stream
