// Draws lists into a picture of any pixel format in memory of the CPU, in place. Everything is clipped, so
// that any coordinates are safe.
//
//   Canvas canvas;
//   canvas.open(video, planes);
//   list.begin(video, atlas, &canvas);
//
// A picture is taken as up to four components (Y, Cb, Cr or R, G, B, A) of eight bits, each with an address,
// steps and subsampling; of P010 and GRAY16 the upper eight bits count. Chroma that is shared by several
// pixels gets the mean of what covers them, so that edges on odd coordinates are right as well. Borrows the
// memory. Not thread-safe.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sightglass/elements/opencv_meta_overlay/draw_list.h"
#include "sightglass/elements/opencv_meta_overlay/mask_painter.h"

namespace sightglass {

// Where the samples of a component lie: plane, byte within a pixel of it, and how they follow each other.
struct ComponentPlace {
  size_t plane = 0;
  int byte = 0, step = 1;  // bytes
  int shift_x = 0, shift_y = 0;
};
// In the order Y, Cb, Cr or R, G, B, A; how many there are.
size_t component_places(PixelFormat format, std::array<ComponentPlace, 4>& places);

class Canvas final : public Painter {
 public:
  struct Plane {
    std::byte* data = nullptr;
    int64_t stride = 0;  // bytes
  };
  // As many planes as the format has.
  void open(const VideoInfo& video, std::span<const Plane> planes);
  Status draw(const DrawList& list) override;

  const VideoInfo& video() const { return video_; }
  int width() const { return video_.width; }
  int height() const { return video_.height; }
  // Rows that may share their chroma.
  int grain() const { return grain_; }

  void fill(Rect area, const Ink& ink, uint8_t alpha = 255);
  // `mask` holds a coverage of 0..255 per pixel of `area`.
  void blend(const Rect& area, const uint8_t* mask, size_t mask_stride, const Ink& ink);
  void line(const draw::Segment& at, float radius, const Ink& ink);
  void mosaic(const Rect& area, int square);

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

  int grain_ = 1;
  VideoInfo video_;
  std::array<Component, 4> components_;
  size_t component_count_ = 0;
  std::vector<uint8_t> coverage_;  // two rows of a line
  MaskPainter mask_painter_;
};

// The squares of a mosaic over a clipped area, in order.
template <class Each>
void for_each_square(const draw::Area& area, int side, int grain, Each each) {
  const int right = area.x + area.w, bottom = area.y + area.h;
  for (int y = area.y / grain * grain; y < bottom; y += side)
    for (int x = area.x / grain * grain; x < right; x += side)
      each(Rect{x, y, std::min(side, right - x), std::min(side, bottom - y)});
}

}  // namespace sightglass
