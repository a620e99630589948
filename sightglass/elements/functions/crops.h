// Where a model looks: boxes that grow, faces and plates that are put upright, pictures that are fitted. The
// geometry, and one pass over pixels that follows it.
//
//   const auto turn = align_face_5pt(landmarks, 112, 112);  // pixels of the crop → pixels of the picture
//   if (turn) warp(picture, *turn, crop);
//
// Pixels are continuous coordinates: (0, 0) is the corner of the first pixel, its middle (0.5, 0.5).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "sightglass/core/frame.h"
#include "sightglass/elements/functions/objects.h"

namespace sightglass {

// The box, 0..1 of a picture, `factor` times as wide and high about its centre, then grown in one direction
// until width / height in pixels is `aspect` (0: left as it is), clipped to the picture. A box that is none
// comes back as it is.
Box crop_expand(const Box& box, float factor, float aspect, PictureExtent extent);

struct Pixel {
  double x = 0, y = 0;
};

// Row by row; x' = (m0·x + m1·y + m2) / w, y' = (m3·x + m4·y + m5) / w with w = m6·x + m7·y + m8.
struct Projection {
  double m[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
  Pixel operator()(Pixel at) const;
};

// From pixels of a canvas to pixels of a picture that is fitted into it: aspect kept, in the middle or at the
// top left. What lies outside of the picture is border.
Projection letterbox(int width, int height, int canvas_width, int canvas_height, bool centred = true);

// The similarity (turn, one scale, shift, no mirror) that lays five landmarks (eyes left and right in the
// picture, nose, corners of the mouth left and right) best onto the usual template of 112 x 112 (ArcFace),
// stretched to the size of the crop: crop → picture, by least squares (Umeyama, 1991). None: the points fall
// together, are fewer than five or no numbers.
std::optional<Projection> align_face_5pt(std::span<const Pixel> landmarks, int width, int height);

// The perspective that lays a rectangle onto four corners, top left first, clockwise: crop → picture. None:
// they are no convex quadrangle in that order.
std::optional<Projection> warp_plate(std::span<const Pixel> corners, int width, int height);

// A picture of 1 to 4 bytes per pixel.
struct PictureView {
  uint8_t* data = nullptr;
  ptrdiff_t stride = 0;  // bytes
  int width = 0, height = 0, channels = 0;
};
struct PixelBounds {
  double left, top, right, bottom;
};
// Fills `to` with what the projection finds in `from`, bilinear; `border` where that is outside of the
// picture, or of `within`. Both have the same channels. Without allocation; about 14 ns per pixel of `to` and
// three channels.
void warp(const PictureView& from, const Projection& projection, const PictureView& to, uint8_t border = 0,
          const std::optional<PixelBounds>& within = std::nullopt);

// What the projection means to results: 0..1 of the crop → 0..1 of the picture. Of a perspective the affine
// that is nearest at the four corners.
Affine affine(const Projection& projection, int width, int height, PictureExtent picture);

}  // namespace sightglass
