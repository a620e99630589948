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

// The samples that a range of pixels lies on. How many of the pixels that a sample stands for are covered:
// all of them between the two ends. The last sample of an odd picture stands for fewer.
struct Covered {
  int from, to, size, shift;
  int first, end;  // samples

  Covered(int first_pixel, int end_pixel, int pixels, int shift_by)
      : from(first_pixel),
        to(end_pixel),
        size(pixels),
        shift(shift_by),
        first(from >> shift),
        end(((to - 1) >> shift) + 1) {}
  int pixels(int sample) const { return std::min((sample + 1) << shift, size) - (sample << shift); }
  int covered(int sample) const {
    return std::min(to, std::min((sample + 1) << shift, size)) - std::max(from, sample << shift);
  }
  bool is_part(int sample) const { return covered(sample) < pixels(sample); }
};

}  // namespace

size_t component_places(PixelFormat format, std::array<ComponentPlace, 4>& result) {
  const Places& found = *std::ranges::find(places, format, &Places::format);
  for (size_t i = 0; i < found.count; ++i) {
    const auto [plane, byte] = found.components[i];
    const PlaneLayout layout = plane_layout(format, plane);
    result[i] = {plane, byte, layout.pixel_bytes, layout.shift_x, layout.shift_y};
  }
  return found.count;
}

void Canvas::open(const VideoInfo& video, std::span<const Plane> planes) {
  video_ = video;
  grain_ = 1;
  std::array<ComponentPlace, 4> found;
  component_count_ = component_places(video.format, found);
  for (size_t i = 0; i < component_count_; ++i) {
    const ComponentPlace& place = found[i];
    assert(place.plane < planes.size());
    components_[i] = {reinterpret_cast<uint8_t*>(planes[place.plane].data) + place.byte,
                      planes[place.plane].stride, place.step, place.shift_x, place.shift_y};
    grain_ = std::max(grain_, 1 << std::max(place.shift_x, place.shift_y));
  }
}

Status Canvas::draw(const DrawList& list) {
  for (const draw::Command& command : list.commands()) {
    const Ink ink = std::to_array(command.ink);
    const auto [x, y, w, h] = command.place.area;
    const Rect area{x, y, w, h};
    switch (draw::Kind(command.kind)) {
      case draw::fill:
        fill(area, ink, command.alpha);
        break;
      case draw::glyph:
        blend(area, list.atlas().masks.data() + command.data, size_t(w), ink);
        break;
      case draw::line:
        line(command.place.segment, command.radius, ink);
        break;
      case draw::scores:
        mask_painter_.tint(*this, list.mask(command), area, ink);
        break;
      case draw::labels:
        mask_painter_.tint_labels(*this, list.mask(command), area);
        break;
      case draw::mosaic:
        mosaic(area, int(command.data));
        break;
    }
  }
  return {};
}

Rect Canvas::clipped(const Rect& area) const {
  if (area.empty()) return {};
  const int x = std::clamp(area.x, 0, width()), y = std::clamp(area.y, 0, height());
  return {x, y, std::clamp(area.right(), 0, width()) - x, std::clamp(area.bottom(), 0, height()) - y};
}

void Canvas::fill(Rect area, const Ink& ink, uint8_t alpha) {
  area = clipped(area);
  if (area.empty()) return;
  for (size_t i = 0; i < component_count_; ++i) fill(components_[i], area, ink[i], alpha);
}

void Canvas::fill(const Component& component, const Rect& area, uint8_t value, int alpha) const {
  const Covered columns(area.x, area.right(), width(), component.shift_x),
      rows(area.y, area.bottom(), height(), component.shift_y);
  // Of the samples at the two ends, and of those between them, which are whole.
  const int last = columns.end - 1;
  const bool first_is_part = columns.is_part(columns.first),
             last_is_part = last > columns.first && columns.is_part(last);
  const int whole_first = columns.first + first_is_part, whole_end = columns.end - last_is_part;
  for (int y = rows.first; y < rows.end; ++y) {
    uint8_t* row = component.row(y);
    const int covered = rows.covered(y), pixels = rows.pixels(y);
    const auto mix_part = [&](int x) {
      uint8_t& sample = row[x * component.step];
      sample =
          draw::mixed(sample, value, alpha * (covered * columns.covered(x)) / (pixels * columns.pixels(x)));
    };
    if (first_is_part) mix_part(columns.first);
    if (last_is_part) mix_part(last);
    const int share = covered == pixels ? alpha : alpha * covered / pixels;
    if (share < 255) {
      for (int x = whole_first; x < whole_end; ++x)
        row[x * component.step] = draw::mixed(row[x * component.step], value, share);
    } else if (component.step == 1) {
      std::memset(row + whole_first, value, size_t(std::max(whole_end - whole_first, 0)));
    } else {
      for (int x = whole_first; x < whole_end; ++x) row[x * component.step] = value;
    }
  }
}

void Canvas::blend(const Rect& area, const uint8_t* mask, size_t mask_stride, const Ink& ink) {
  const Rect visible = clipped(area);
  if (visible.empty()) return;
  for (size_t i = 0; i < component_count_; ++i)
    blend(components_[i], area, visible, mask, mask_stride, ink[i]);
}

void Canvas::blend(const Component& component, const Rect& area, const Rect& visible, const uint8_t* mask,
                   size_t mask_stride, uint8_t value) const {
  const auto mask_row = [&](int y) { return mask + size_t(y - area.y) * mask_stride - area.x; };
  const auto mix = [value](uint8_t& sample, int alpha) {
    if (alpha == 255)
      sample = value;
    else if (alpha > 0)
      sample = draw::mixed(sample, value, alpha);
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
    const int top = cy << component.shift_y, rows = std::min(per_y, height() - top);
    uint8_t* row = component.row(cy);
    for (int cx = visible.x >> component.shift_x; cx << component.shift_x < visible.right(); ++cx) {
      const int left = cx << component.shift_x, columns = std::min(per_x, width() - left);
      int sum = 0;
      for (int y = std::max(top, visible.y); y < std::min(top + rows, visible.bottom()); ++y)
        for (int x = std::max(left, visible.x); x < std::min(left + columns, visible.right()); ++x)
          sum += mask_row(y)[x];
      if (sum > 0) mix(row[cx * component.step], sum / (rows * columns));
    }
  }
}

void Canvas::line(const draw::Segment& at, float radius, const Ink& ink) {
  const draw::Stroke stroke = draw::stroke(at, radius);
  const int top = std::max(0, int(std::floor(std::min(at.from_y, at.to_y) - radius - 1))) & ~1;
  const int bottom = std::min(height(), int(std::ceil(std::max(at.from_y, at.to_y) + radius + 1)));
  // Two rows at a time, since they may share their chroma.
  for (int y = top; y < bottom; y += 2) {
    const draw::Reach reach = draw::reach(stroke, y, 2);
    const int left = std::max(0, int(std::floor(reach.left))) & ~1;
    const int right = std::min(width(), int(std::ceil(reach.right)));
    if (right <= left) continue;
    const size_t columns = size_t(right - left);
    coverage_.resize(std::max(coverage_.size(), 2 * columns));
    for (int row = 0; row < 2; ++row)
      for (int x = left; x < right; ++x)
        coverage_[size_t(row) * columns + size_t(x - left)] = draw::coverage(stroke, x, y + row);
    blend({left, y, int(columns), std::min(2, height() - y)}, coverage_.data(), columns, ink);
  }
}

void Canvas::mosaic(const Rect& area, int square) {
  const Rect part = clipped(area);
  if (part.empty()) return;
  for_each_square({part.x, part.y, part.w, part.h}, square, grain_, [&](const Rect& one) {
    for (size_t i = 0; i < component_count_; ++i) mosaic(components_[i], one);
  });
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
