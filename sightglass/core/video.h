// What a picture is made of: pixel format, size, planes and colour.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace sightglass {

// The names are GStreamer's. x: ignored byte. p010 and gray16 have samples of 16 bits, little endian; of
// p010 the upper 10 count.
enum class PixelFormat : uint8_t {
  i420,
  yv12,
  y42b,
  y444,
  nv12,
  nv21,
  rgb,
  bgr,
  rgbx,
  bgrx,
  rgba,
  bgra,
  rgbp,
  bgrp,
  gray8,
  p010,
  gray16
};
std::string_view to_string(PixelFormat format);  // "I420", "NV12", "RGBP", …
std::optional<PixelFormat> pixel_format(std::string_view name);
std::span<const PixelFormat> all_pixel_formats();
std::span<const PixelFormat> all_8_bit_formats();

// Layout of one plane relative to the picture.
struct PlaneLayout {
  uint8_t pixel_bytes;       // bytes from one sample to the next: 2 for the UV plane of NV12, 3 for RGB
  uint8_t shift_x, shift_y;  // subsampling as a power of two
};
size_t plane_count(PixelFormat format);
PlaneLayout plane_layout(PixelFormat format, size_t plane);
bool is_yuv(PixelFormat format);

struct Fraction {
  int num = 0, den = 1;
  bool operator==(const Fraction&) const = default;
};

// How Y'CbCr relates to R'G'B'.
enum class ColorMatrix : uint8_t { bt601, bt709, bt2020 };

struct VideoInfo {
  PixelFormat format = PixelFormat::i420;
  int width = 0, height = 0;                // pixels
  ColorMatrix matrix = ColorMatrix::bt601;  // for Y'CbCr formats
  bool full_range = false;                  // luma 0..255 instead of 16..235
  Fraction pixel_aspect{1, 1};
  Fraction frame_rate{0, 1};  // 0/1: unknown or variable
  bool operator==(const VideoInfo&) const = default;
};

// Size of a plane in samples (rounded up for odd pictures).
int plane_width(const VideoInfo& info, size_t plane);
int plane_height(const VideoInfo& info, size_t plane);

}  // namespace sightglass
