#include "sightglass/elements/opencv_meta_overlay/canvas.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

namespace sightglass {
namespace {

// Where the components of a format lie: plane and byte within a pixel of it. In the order Y, Cb, Cr or R, G,
// B, A.
struct Place {
  uint8_t plane, byte;
};
struct Places {
  PixelFormat format;
  uint8_t count;
  Place components[4];
};
constexpr Places places[] = {
    {PixelFormat::i420, 3, {{0, 0}, {1, 0}, {2, 0}}},
    {PixelFormat::yv12, 3, {{0, 0}, {2, 0}, {1, 0}}},
    {PixelFormat::y42b, 3, {{0, 0}, {1, 0}, {2, 0}}},
    {PixelFormat::y444, 3, {{0, 0}, {1, 0}, {2, 0}}},
    {PixelFormat::nv12, 3, {{0, 0}, {1, 0}, {1, 1}}},
    {PixelFormat::nv21, 3, {{0, 0}, {1, 1}, {1, 0}}},
    {PixelFormat::rgb, 3, {{0, 0}, {0, 1}, {0, 2}}},
    {PixelFormat::bgr, 3, {{0, 2}, {0, 1}, {0, 0}}},
    {PixelFormat::rgbx, 3, {{0, 0}, {0, 1}, {0, 2}}},
    {PixelFormat::bgrx, 3, {{0, 2}, {0, 1}, {0, 0}}},
    {PixelFormat::rgba, 4, {{0, 0}, {0, 1}, {0, 2}, {0, 3}}},
    {PixelFormat::bgra, 4, {{0, 2}, {0, 1}, {0, 0}, {0, 3}}},
    {PixelFormat::rgbp, 3, {{0, 0}, {1, 0}, {2, 0}}},
    {PixelFormat::bgrp, 3, {{2, 0}, {1, 0}, {0, 0}}},
    {PixelFormat::gray8, 1, {{0, 0}}},
    // The upper bytes of samples of 16 bits. The lower ones stay, which is less than a step of eight bits.
    {PixelFormat::p010, 3, {{0, 1}, {1, 1}, {1, 3}}},
    {PixelFormat::gray16, 1, {{0, 1}}},
};

struct Luma {
  double red, blue;
};
Luma luma_of(ColorMatrix matrix) {
  switch (matrix) {
    case ColorMatrix::bt601:
      return {0.299, 0.114};
    case ColorMatrix::bt709:
      return {0.2126, 0.0722};
    case ColorMatrix::bt2020:
      return {0.2627, 0.0593};
  }
  return {0.299, 0.114};
}

uint8_t mixed(uint8_t below, uint8_t above, int alpha) {
  return uint8_t((below * (255 - alpha) + above * alpha + 128) * 257 >> 16);
}

// How much of the samples from `first` on a range of pixels covers: all of it between the two ends.
struct Covered {
  int first, end;            // samples
  int first_part, end_part;  // of 255, of the first and the last sample

  Covered(int from, int to, int size, int shift) : first(from >> shift), end(((to - 1) >> shift) + 1) {
    const int per = 1 << shift;
    // The last sample of an odd picture stands for fewer pixels.
    const auto part = [&](int sample) {
      const int start = sample << shift, stop = std::min(start + per, size);
      return (std::min(to, stop) - std::max(from, start)) * 255 / (stop - start);
    };
    first_part = part(first);
    end_part = part(end - 1);
  }
  int at(int sample) const { return sample == first ? first_part : sample == end - 1 ? end_part : 255; }
};

}  // namespace

void Canvas::open(const VideoInfo& video, std::span<const Plane> planes) {
  const Places& place = *std::ranges::find(places, video.format, &Places::format);
  video_ = video;
  width_ = video.width, height_ = video.height;
  grain_ = 1;
  component_count_ = place.count;
  for (int i = 0; i < place.count; ++i) {
    const auto [plane, byte] = place.components[i];
    assert(plane < planes.size());
    const PlaneLayout layout = plane_layout(video.format, plane);
    components_[i] = {reinterpret_cast<uint8_t*>(planes[plane].data) + byte, planes[plane].stride,
                      layout.pixel_bytes, layout.shift_x, layout.shift_y};
    grain_ = std::max(grain_, 1 << std::max(layout.shift_x, layout.shift_y));
  }
}

Ink Canvas::ink(Color color) const {
  if (!is_yuv(video_.format) && component_count_ > 1) return {color.r, color.g, color.b, 255};
  const auto [red, blue] = luma_of(video_.matrix);
  const double y = red * color.r + (1 - red - blue) * color.g + blue * color.b;
  const double cb = (color.b - y) / (2 * (1 - blue)), cr = (color.r - y) / (2 * (1 - red));
  const double luma_scale = video_.full_range ? 1 : 219.0 / 255,
               chroma_scale = video_.full_range ? 1 : 224.0 / 255;
  const auto byte = [](double value) { return uint8_t(std::clamp(std::lround(value), 0l, 255l)); };
  return {byte((video_.full_range ? 0 : 16) + y * luma_scale), byte(128 + cb * chroma_scale),
          byte(128 + cr * chroma_scale), 255};
}

Rect Canvas::clipped(const Rect& area) const {
  if (area.empty()) return {};
  const int x = std::clamp(area.x, 0, width_), y = std::clamp(area.y, 0, height_);
  return {x, y, std::clamp(area.right(), 0, width_) - x, std::clamp(area.bottom(), 0, height_) - y};
}

void Canvas::fill(Rect area, const Ink& ink, uint8_t alpha) {
  area = clipped(area);
  if (area.empty()) return;
  for (int i = 0; i < component_count_; ++i) fill(components_[i], area, ink[i], alpha);
}

void Canvas::fill(const Component& component, const Rect& area, uint8_t value, int alpha) const {
  const Covered columns(area.x, area.right(), width_, component.shift_x),
      rows(area.y, area.bottom(), height_, component.shift_y);
  for (int y = rows.first; y < rows.end; ++y) {
    const int row_alpha = alpha * rows.at(y) / 255;
    uint8_t* row = component.row(y);
    int x = columns.first, end = columns.end;
    const auto mix = [&](int at, int part) {
      uint8_t& sample = row[at * component.step];
      sample = mixed(sample, value, row_alpha * part / 255);
    };
    if (row_alpha < 255) {
      for (; x < end; ++x) mix(x, columns.at(x));
      continue;
    }
    if (columns.first_part < 255) mix(x, columns.first_part), ++x;
    if (x < end && columns.end_part < 255) --end, mix(end, columns.end_part);
    if (component.step == 1) {
      std::memset(row + x, value, size_t(std::max(end - x, 0)));
    } else {
      for (; x < end; ++x) row[x * component.step] = value;
    }
  }
}

void Canvas::frame(const Rect& outer, int thickness, const Ink& ink) {
  if (outer.empty()) return;
  if (2 * thickness >= outer.w || 2 * thickness >= outer.h) return fill(outer, ink);
  fill({outer.x, outer.y, outer.w, thickness}, ink);
  fill({outer.x, outer.bottom() - thickness, outer.w, thickness}, ink);
  const Rect side{outer.x, outer.y + thickness, thickness, outer.h - 2 * thickness};
  fill(side, ink);
  fill({outer.right() - thickness, side.y, thickness, side.h}, ink);
}

void Canvas::blend(const Rect& area, const uint8_t* mask, size_t mask_stride, const Ink& ink) {
  const Rect visible = clipped(area);
  if (visible.empty()) return;
  for (int i = 0; i < component_count_; ++i) blend(components_[i], area, visible, mask, mask_stride, ink[i]);
}

void Canvas::blend(const Component& component, const Rect& area, const Rect& visible, const uint8_t* mask,
                   size_t mask_stride, uint8_t value) const {
  const auto mask_row = [&](int y) { return mask + size_t(y - area.y) * mask_stride - area.x; };
  const auto mix = [value](uint8_t& sample, int alpha) {
    if (alpha == 255)
      sample = value;
    else if (alpha > 0)
      sample = mixed(sample, value, alpha);
  };
  if (component.shift_x == 0 && component.shift_y == 0) {
    for (int y = visible.y; y < visible.bottom(); ++y) {
      const uint8_t* coverage = mask_row(y);
      uint8_t* row = component.row(y);
      for (int x = visible.x; x < visible.right(); ++x) mix(row[x * component.step], coverage[x]);
    }
    return;
  }
  const int per_x = 1 << component.shift_x, per_y = 1 << component.shift_y;
  for (int cy = visible.y >> component.shift_y; cy << component.shift_y < visible.bottom(); ++cy) {
    const int top = cy << component.shift_y, rows = std::min(per_y, height_ - top);
    uint8_t* row = component.row(cy);
    for (int cx = visible.x >> component.shift_x; cx << component.shift_x < visible.right(); ++cx) {
      const int left = cx << component.shift_x, columns = std::min(per_x, width_ - left);
      int sum = 0;
      for (int y = std::max(top, visible.y); y < std::min(top + rows, visible.bottom()); ++y)
        for (int x = std::max(left, visible.x); x < std::min(left + columns, visible.right()); ++x)
          sum += mask_row(y)[x];
      if (sum > 0) mix(row[cx * component.step], sum / (rows * columns));
    }
  }
}

void Canvas::line(Point from, Point to, float thickness, const Ink& ink) {
  const float radius = std::max(thickness, 1.0f) / 2, reach = radius + 1;
  if (!(std::abs(from.x) < 1e6f && std::abs(from.y) < 1e6f && std::abs(to.x) < 1e6f && std::abs(to.y) < 1e6f))
    return;
  const float dx = to.x - from.x, dy = to.y - from.y, length2 = dx * dx + dy * dy;
  const int top = std::max(0, int(std::floor(std::min(from.y, to.y) - reach))) & ~1;
  const int bottom = std::min(height_, int(std::ceil(std::max(from.y, to.y) + reach)));
  // Two rows at a time, since they may share their chroma.
  for (int y = top; y < bottom; y += 2) {
    // The part of the segment that reaches these rows.
    float t0 = 0, t1 = 1;
    if (std::abs(dy) > 1e-3f) {
      const float a = (float(y) - reach - from.y) / dy, b = (float(y) + 2 + reach - from.y) / dy;
      t0 = std::clamp(std::min(a, b), 0.0f, 1.0f), t1 = std::clamp(std::max(a, b), 0.0f, 1.0f);
    }
    const float xa = from.x + t0 * dx, xb = from.x + t1 * dx;
    const int left = std::max(0, int(std::floor(std::min(xa, xb) - reach))) & ~1;
    const int right = std::min(width_, int(std::ceil(std::max(xa, xb) + reach)));
    if (right <= left) continue;
    const size_t columns = size_t(right - left);
    coverage_.resize(std::max(coverage_.size(), 2 * columns));
    for (int row = 0; row < 2; ++row) {
      const float py = float(y + row) + 0.5f - from.y;
      for (int x = left; x < right; ++x) {
        const float px = float(x) + 0.5f - from.x;
        const float t = length2 > 0 ? std::clamp((px * dx + py * dy) / length2, 0.0f, 1.0f) : 0;
        const float away = std::hypot(px - t * dx, py - t * dy);
        coverage_[row * columns + size_t(x - left)] =
            uint8_t(std::clamp(radius + 0.5f - away, 0.0f, 1.0f) * 255);
      }
    }
    blend({left, y, int(columns), std::min(2, height_ - y)}, coverage_.data(), columns, ink);
  }
}

void Canvas::mosaic(Rect area, int square) {
  area = clipped(area);
  square = (std::max(square, grain_) + grain_ - 1) / grain_ * grain_;
  for (int y = area.y / grain_ * grain_; y < area.bottom(); y += square)
    for (int x = area.x / grain_ * grain_; x < area.right(); x += square) {
      const Rect part =
          clipped({x, y, std::min(square, area.right() - x), std::min(square, area.bottom() - y)});
      for (int i = 0; i < component_count_; ++i) mosaic(components_[i], part);
    }
}

void Canvas::mosaic(const Component& component, const Rect& area) const {
  const int left = area.x >> component.shift_x, right = ((area.right() - 1) >> component.shift_x) + 1;
  const int top = area.y >> component.shift_y, bottom = ((area.bottom() - 1) >> component.shift_y) + 1;
  int64_t sum = 0;
  for (int y = top; y < bottom; ++y)
    for (int x = left; x < right; ++x) sum += component.row(y)[x * component.step];
  const auto mean = uint8_t(sum / std::max<int64_t>(1, int64_t(right - left) * (bottom - top)));
  for (int y = top; y < bottom; ++y)
    for (int x = left; x < right; ++x) component.row(y)[x * component.step] = mean;
}

}  // namespace sightglass
