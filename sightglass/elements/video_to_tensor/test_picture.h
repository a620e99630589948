// Pictures for the tests of this folder, and what a pixel of a tensor should be, computed in floating point,
// slowly, by the definition.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "sightglass/core/video.h"
#include "sightglass/elements/video_to_tensor/kernel.h"

namespace sightglass::test {

// Planes with padded rows; what lies between and behind the rows is never touched (0 bytes behind the last
// one, so that address sanitizers see it).
struct Picture {
  VideoInfo info;
  std::vector<std::vector<uint8_t>> bytes;
  std::vector<PlaneView> planes;

  Picture(const VideoInfo& video, int row_padding) : info(video) {
    for (size_t p = 0; p < plane_count(video.format); ++p) {
      const size_t row = size_t(plane_width(video, p)) * plane_layout(video.format, p).pixel_bytes;
      const size_t stride = row + size_t(row_padding), rows = size_t(plane_height(video, p));
      bytes.emplace_back(stride * (rows - 1) + row, uint8_t(77));
      planes.push_back({bytes.back().data(), ptrdiff_t(stride)});
    }
  }

  uint8_t& at(size_t plane, int x, int y, int byte = 0) {
    return bytes[plane][size_t(y * planes[plane].stride) +
                        size_t(x) * plane_layout(info.format, plane).pixel_bytes + size_t(byte)];
  }
  // value(plane, x, y, byte of the pixel)
  template <class F>
  void fill(F value) {
    for (size_t p = 0; p < planes.size(); ++p)
      for (int y = 0; y < plane_height(info, p); ++y)
        for (int x = 0; x < plane_width(info, p); ++x)
          for (int b = 0; b < plane_layout(info.format, p).pixel_bytes; ++b)
            at(p, x, y, b) = value(p, x, y, b);
  }
  // As in nature: neighbours differ by up to ten grey levels.
  void fill_smooth() {
    fill([](size_t p, int x, int y, int b) {
      const double phase = double(p) + 0.7 * b;
      return uint8_t(std::lround(128 + 70 * std::sin(x * 0.06 + phase) + 50 * std::cos(y * 0.08 - phase)));
    });
  }
  void fill_noise() {
    std::minstd_rand random(1);
    fill([&](size_t, int, int, int) { return uint8_t(random() >> 12); });
  }
};

// The exact bilinear or nearest result, before normalisation, in the order of the tensor's channels.
class Reference {
 public:
  Reference(Picture& picture, const PreprocessOptions& options, const Placement& placement)
      : picture_(picture), options_(options), placement_(placement) {}

  bool inside(int x, int y) const { return in(placement_.x, x) && in(placement_.y, y); }

  std::array<double, 3> pixel(int x, int y) const {
    std::array<double, 3> rgb =
        this->rgb(x - placement_.x.at + placement_.x.skip, y - placement_.y.at + placement_.y.skip);
    if (options_.channels == ChannelOrder::bgr) std::swap(rgb[0], rgb[2]);
    if (options_.channels == ChannelOrder::gray && picture_.info.format != PixelFormat::gray8)
      rgb[0] = 0.2989 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
    return rgb;
  }

 private:
  static bool in(const AxisMap& axis, int position) {
    return position >= axis.at && position < axis.at + axis.count;
  }

  double place_on(const AxisMap& axis, int k) const {
    if (options_.interpolation == Interpolation::nearest)
      return std::floor((k + 0.5) * axis.length / axis.scaled) + axis.begin;
    return std::clamp(axis.source(k + 0.5) - 0.5, double(axis.begin), double(axis.begin + axis.length - 1));
  }

  double sample(size_t plane, int byte, double x, double y) const {
    const PlaneLayout layout = plane_layout(picture_.info.format, plane);
    const int w = plane_width(picture_.info, plane), h = plane_height(picture_.info, plane);
    if (options_.interpolation == Interpolation::nearest)
      return picture_.at(plane, int(x) >> layout.shift_x, int(y) >> layout.shift_y, byte);
    x = std::clamp((x + 0.5) / (1 << layout.shift_x) - 0.5, 0.0, w - 1.0);
    y = std::clamp((y + 0.5) / (1 << layout.shift_y) - 0.5, 0.0, h - 1.0);
    const int x0 = int(x), y0 = int(y), x1 = std::min(x0 + 1, w - 1), y1 = std::min(y0 + 1, h - 1);
    const double fx = x - x0, fy = y - y0;
    auto row = [&](int r) {
      return picture_.at(plane, x0, r, byte) * (1 - fx) + picture_.at(plane, x1, r, byte) * fx;
    };
    return row(y0) * (1 - fy) + row(y1) * fy;
  }

  std::array<double, 3> rgb(int kx, int ky) const {
    const double x = place_on(placement_.x, kx), y = place_on(placement_.y, ky);
    auto get = [&](size_t plane, int byte = 0) { return sample(plane, byte, x, y); };
    switch (picture_.info.format) {
      case PixelFormat::i420:
      case PixelFormat::y42b:
      case PixelFormat::y444:
        return convert(get(0), get(1), get(2));
      case PixelFormat::yv12:
        return convert(get(0), get(2), get(1));
      case PixelFormat::nv12:
        return convert(get(0), get(1, 0), get(1, 1));
      case PixelFormat::nv21:
        return convert(get(0), get(1, 1), get(1, 0));
      case PixelFormat::rgb:
      case PixelFormat::rgbx:
      case PixelFormat::rgba:
        return {get(0, 0), get(0, 1), get(0, 2)};
      case PixelFormat::bgr:
      case PixelFormat::bgrx:
      case PixelFormat::bgra:
        return {get(0, 2), get(0, 1), get(0, 0)};
      case PixelFormat::rgbp:
        return {get(0), get(1), get(2)};
      case PixelFormat::bgrp:
        return {get(2), get(1), get(0)};
      case PixelFormat::gray8:
        return {get(0), get(0), get(0)};
      case PixelFormat::p010:
      case PixelFormat::gray16:
        break;  // not taken
    }
    return {};
  }

  // The coefficients as the recommendations print them.
  std::array<double, 3> convert(double y, double u, double v) const {
    double rv = 1.402, gu = -0.344136, gv = -0.714136, bu = 1.772;
    if (picture_.info.matrix == ColorMatrix::bt709) rv = 1.5748, gu = -0.187324, gv = -0.468124, bu = 1.8556;
    if (picture_.info.matrix == ColorMatrix::bt2020) rv = 1.4746, gu = -0.164553, gv = -0.571353, bu = 1.8814;
    if (!picture_.info.full_range)
      y = (y - 16) * 255 / 219, u = (u - 128) * 255 / 224, v = (v - 128) * 255 / 224;
    else
      u -= 128, v -= 128;
    auto clip = [](double value) { return std::clamp(value, 0.0, 255.0); };
    return {clip(y + rv * v), clip(y + gu * u + gv * v), clip(y + bu * u)};
  }

  Picture& picture_;
  const PreprocessOptions& options_;
  const Placement placement_;
};

}  // namespace sightglass::test
