// Where a picture, or a rectangle of it, lands in the input of a model. Plain arithmetic, without pixels.
//
// Each axis is described alone: `length` source pixels from `begin` on are scaled to `scaled` pixels, of
// which `count` from `skip` on are kept and put at `at` of a canvas of `canvas` pixels. Scaled pixel k has
// its centre at source position begin + (k + 0.5)·length/scaled - 0.5, clamped to the rectangle: OpenCV's
// INTER_LINEAR.
//
//   const Placement p = place({.resize = Resize::letterbox}, {1, 1}, {0, 0, 768, 576}, 416, 416);
//   p.y.scaled == 312, p.y.at == 52
#pragma once

#include <cstdint>

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"
#include "sightglass/core/video.h"

namespace sightglass {

// The values are those of the parameter `resize`. Pixels that are not square are made square by all but
// stretch and none.
enum class Resize : uint8_t {
  stretch,            // each axis on its own
  letterbox,          // all of it, aspect kept, in the middle
  letterbox_topleft,  // the same, in the corner
  crop,               // the short side fits, the middle of the long one
  none,               // pixel for pixel from the top left corner
  fit_height,         // full height, width in proportion, the rest on the right is border
  multiple,           // both sides rounded to a multiple, never enlarged
};

struct ResizeRule {
  Resize resize = Resize::stretch;
  int size_multiple = 32;  // fit_height (width of the canvas) and multiple
  int max_width = 0;       // fit_height; 0: no limit
  double share = 1;        // crop: how much of the short side is kept, 0..1
  bool operator==(const ResizeRule&) const = default;
};

struct Size {
  int width = 0, height = 0;  // 0: not known
  bool operator==(const Size&) const = default;
};

// The canvas for pictures like this one. `asked` is what the user or the model wants, 0 where that is open;
// fails when it has to be known and is not.
Result<Size> canvas_size(const ResizeRule& rule, const VideoInfo& video, Size asked);

struct AxisMap {
  int begin = 0, length = 0;  // source pixels
  int scaled = 0;             // what they become
  int skip = 0, count = 0;    // the part of it that is kept
  int at = 0, canvas = 0;     // where it is put
  double source(
      double scaled_position) const;  // continuous coordinates, 0 is the left edge of the first pixel
  bool operator==(const AxisMap&) const = default;
};

struct Placement {
  AxisMap x, y;
  bool operator==(const Placement&) const = default;
};
Placement place(const ResizeRule& rule, Fraction pixel_aspect, const Crop& crop, Size canvas);

// Canvas 0..1 → picture 0..1.
Affine affine(const Placement& placement, const VideoInfo& video);

// The box, 0..1 of the picture, grown `factor` times about its centre, in whole pixels outwards, clipped to
// the picture. Width or height is 0 when nothing of it lies inside.
Crop grow(const Box& box, double factor, const VideoInfo& video);
Crop grow(const Crop& crop, double factor, const VideoInfo& video);
// The part of the rectangle that lies inside the picture.
Crop clip(const Crop& crop, const VideoInfo& video);

}  // namespace sightglass
