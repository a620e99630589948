#include "sightglass/core/video.h"

#include <array>
#include <utility>

namespace sightglass {
namespace {

struct PixelFormatInfo {
  PixelFormat format;
  std::string_view name;
  bool yuv;
  uint8_t planes;
  PlaneLayout first, others;  // no format has three different kinds of planes
};

constexpr PixelFormatInfo infos[] = {
    {PixelFormat::i420, "I420", true, 3, {1, 0, 0}, {1, 1, 1}},
    {PixelFormat::yv12, "YV12", true, 3, {1, 0, 0}, {1, 1, 1}},
    {PixelFormat::y42b, "Y42B", true, 3, {1, 0, 0}, {1, 1, 0}},
    {PixelFormat::y444, "Y444", true, 3, {1, 0, 0}, {1, 0, 0}},
    {PixelFormat::nv12, "NV12", true, 2, {1, 0, 0}, {2, 1, 1}},
    {PixelFormat::nv21, "NV21", true, 2, {1, 0, 0}, {2, 1, 1}},
    {PixelFormat::rgb, "RGB", false, 1, {3, 0, 0}, {}},
    {PixelFormat::bgr, "BGR", false, 1, {3, 0, 0}, {}},
    {PixelFormat::rgbx, "RGBx", false, 1, {4, 0, 0}, {}},
    {PixelFormat::bgrx, "BGRx", false, 1, {4, 0, 0}, {}},
    {PixelFormat::rgba, "RGBA", false, 1, {4, 0, 0}, {}},
    {PixelFormat::bgra, "BGRA", false, 1, {4, 0, 0}, {}},
    {PixelFormat::rgbp, "RGBP", false, 3, {1, 0, 0}, {1, 0, 0}},
    {PixelFormat::bgrp, "BGRP", false, 3, {1, 0, 0}, {1, 0, 0}},
    {PixelFormat::gray8, "GRAY8", false, 1, {1, 0, 0}, {}},
    {PixelFormat::p010, "P010_10LE", true, 2, {2, 0, 0}, {4, 1, 1}},
    {PixelFormat::gray16, "GRAY16_LE", false, 1, {2, 0, 0}, {}},
};
constexpr size_t count = std::size(infos);
constexpr size_t count_8_bit = count - 2;  // those of more bits come last
static_assert([] {
  for (size_t i = 0; i < count; ++i)
    if (std::to_underlying(infos[i].format) != i) return false;
  return true;
}());

const PixelFormatInfo& info_of(PixelFormat format) { return infos[std::to_underlying(format)]; }

int subsampled(int size, int shift) { return (size + (1 << shift) - 1) >> shift; }

}  // namespace

std::string_view to_string(PixelFormat format) { return info_of(format).name; }

std::optional<PixelFormat> pixel_format(std::string_view name) {
  for (const PixelFormatInfo& info : infos)
    if (info.name == name) return info.format;
  return {};
}

std::span<const PixelFormat> all_pixel_formats() {
  static constexpr auto formats = [] {
    std::array<PixelFormat, count> all{};
    for (size_t i = 0; i < count; ++i) all[i] = infos[i].format;
    return all;
  }();
  return formats;
}

std::span<const PixelFormat> all_8_bit_formats() { return all_pixel_formats().first(count_8_bit); }

size_t plane_count(PixelFormat format) { return info_of(format).planes; }

PlaneLayout plane_layout(PixelFormat format, size_t plane) {
  const PixelFormatInfo& info = info_of(format);
  return plane == 0 ? info.first : info.others;
}

bool is_yuv(PixelFormat format) { return info_of(format).yuv; }

int plane_width(const VideoInfo& info, size_t plane) {
  return subsampled(info.width, plane_layout(info.format, plane).shift_x);
}

int plane_height(const VideoInfo& info, size_t plane) {
  return subsampled(info.height, plane_layout(info.format, plane).shift_y);
}

}  // namespace sightglass
