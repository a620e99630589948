// Draws into a picture of any pixel format, in place: rectangles, masks (text), lines, mosaics. Everything is
// clipped, so that any coordinates are safe.
//
//   Canvas canvas;
//   canvas.open(video, planes);
//   const Ink red = canvas.ink({255, 0, 0});
//   canvas.fill({10, 10, 100, 20}, red);
//
// A picture is taken as up to four components (Y, Cb, Cr or R, G, B, A) of eight bits, each with an address,
// steps and subsampling; of P010 and GRAY16 the upper eight bits count. Chroma that is shared by several
// pixels gets the mean of what covers them, so that edges on odd coordinates are right as well. Borrows the
// memory. Not thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sightglass/core/video.h"

namespace sightglass {

struct Color {
  uint8_t r = 0, g = 0, b = 0;
  bool operator==(const Color&) const = default;
};

// Pixels; right and bottom are exclusive.
struct Rect {
  int x = 0, y = 0, w = 0, h = 0;
  int right() const { return x + w; }
  int bottom() const { return y + h; }
  bool empty() const { return w <= 0 || h <= 0; }
  bool overlaps(const Rect& other) const {
    return x < other.right() && other.x < right() && y < other.bottom() && other.y < bottom();
  }
};

struct Point {
  float x = 0, y = 0;
};

// A colour in the components of a picture.
using Ink = std::array<uint8_t, 4>;

class Canvas {
 public:
  struct Plane {
    std::byte* data = nullptr;
    int64_t stride = 0;  // bytes
  };
  // As many planes as the format has.
  void open(const VideoInfo& video, std::span<const Plane> planes);
  // Only the size, for whoever places things without drawing them.
  void resize(const VideoInfo& video) {
    video_ = video;
    width_ = video.width, height_ = video.height, grain_ = 1, component_count_ = 0;
  }

  int width() const { return width_; }
  int height() const { return height_; }
  // Coordinates that are multiples of it give the sharpest edges: 2 where chroma is subsampled, else 1.
  int grain() const { return grain_; }
  Ink ink(Color color) const;

  void fill(Rect area, const Ink& ink, uint8_t alpha = 255);
  // The rectangle's lines, of `thickness` inside of it.
  void frame(const Rect& outer, int thickness, const Ink& ink);
  // `mask` holds a coverage of 0..255 per pixel of `area`.
  void blend(const Rect& area, const uint8_t* mask, size_t mask_stride, const Ink& ink);
  // Antialiased, with round ends; of equal ends it is a disc. Coordinates are pixels, (0, 0) the corner of
  // the first one.
  void line(Point from, Point to, float thickness, const Ink& ink);
  // Squares of one colour each, the mean of what was there: unrecognisable.
  void mosaic(Rect area, int square);

 private:
  struct Component {
    uint8_t* data = nullptr;
    int64_t stride = 0;
    int step = 1;  // bytes from one sample to the next
    int shift_x = 0, shift_y = 0;
    uint8_t* row(int y) const { return data + y * stride; }
  };

  Rect clipped(const Rect& area) const;
  void fill(const Component& component, const Rect& area, uint8_t value, int alpha) const;
  void blend(const Component& component, const Rect& area, const Rect& visible, const uint8_t* mask,
             size_t mask_stride, uint8_t value) const;
  void mosaic(const Component& component, const Rect& area) const;

  int width_ = 0, height_ = 0, grain_ = 1;
  VideoInfo video_;
  std::array<Component, 4> components_;
  int component_count_ = 0;
  std::vector<uint8_t> coverage_;  // two rows of a line
};

}  // namespace sightglass
