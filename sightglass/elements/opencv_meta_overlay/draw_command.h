// What is drawn, as plain numbers, and what of a pixel it covers: the definition that the CPU's canvas and
// the CUDA kernels share, so that both draw the same. nvcc, NVRTC and the C++23 compiler all read this file;
// the products of floats are kept from being fused on the device.
#pragma once

#ifdef __CUDACC__
#define SIGHTGLASS_SHARED __host__ __device__ inline
#else
#define SIGHTGLASS_SHARED inline
#endif

namespace sightglass::draw {

enum Kind : unsigned char { fill, glyph, line, scores, labels, mosaic };

// Pixels.
struct Area {
  int x, y, w, h;
};
struct Segment {
  float from_x, from_y, to_x, to_y;
};
union Place {
  Area area;
  Segment segment;  // of a line
};

struct Command {
  unsigned char kind;
  unsigned char alpha;   // of a fill
  unsigned char ink[4];  // in the components of the picture
  Place place;
  // glyph: the first byte of its mask in the atlas; scores, labels: the number of the mask; mosaic: the side
  // of its squares.
  unsigned data;
  float radius;  // of a line
};

// Cells of a mask, spread over an area: scores (float) or label ids (one byte).
constexpr unsigned char no_label = 255, mask_alpha = 110;
constexpr float least_score = 0.5f;

SIGHTGLASS_SHARED float product(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}
SIGHTGLASS_SHARED float root(float value) {
#ifdef __CUDA_ARCH__
  return __fsqrt_rn(value);
#else
  return __builtin_sqrtf(value);
#endif
}
SIGHTGLASS_SHARED float between_0_and_1(float value) { return value < 0 ? 0 : value > 1 ? 1 : value; }
SIGHTGLASS_SHARED int within(int value, int low, int high) {
  return value < low ? low : value > high ? high : value;
}

SIGHTGLASS_SHARED unsigned char mixed(unsigned char below, unsigned char above, int alpha) {
  return (unsigned char)((below * (255 - alpha) + above * alpha + 128) * 257 >> 16);
}

// A line with round ends; of equal ends it is a disc.
struct Stroke {
  Segment at;
  float dx, dy, length2, radius;
};
SIGHTGLASS_SHARED Stroke stroke(const Segment& at, float radius) {
  const float dx = at.to_x - at.from_x, dy = at.to_y - at.from_y;
  return {at, dx, dy, product(dx, dx) + product(dy, dy), radius};
}
// Coverage of the pixel (x, y), 0..255: by the distance of its middle.
SIGHTGLASS_SHARED unsigned char coverage(const Stroke& stroke, int x, int y) {
  const float px = float(x) + 0.5f - stroke.at.from_x, py = float(y) + 0.5f - stroke.at.from_y;
  const float along = product(px, stroke.dx) + product(py, stroke.dy);
  const float t = stroke.length2 > 0 ? between_0_and_1(along / stroke.length2) : 0;
  const float ax = px - product(t, stroke.dx), ay = py - product(t, stroke.dy);
  const float away = root(product(ax, ax) + product(ay, ay));
  return (unsigned char)(product(between_0_and_1(stroke.radius + 0.5f - away), 255));
}

// The part of a stroke that reaches the rows from `top` on, in columns; the margin is enough for rounding.
struct Reach {
  float left, right;
};
SIGHTGLASS_SHARED Reach reach(const Stroke& stroke, int top, int rows) {
  const float margin = stroke.radius + 1;
  float t0 = 0, t1 = 1;
  if (stroke.dy > 1e-3f || stroke.dy < -1e-3f) {
    const float a = (float(top) - margin - stroke.at.from_y) / stroke.dy,
                b = (float(top + rows) + margin - stroke.at.from_y) / stroke.dy;
    t0 = between_0_and_1(a < b ? a : b), t1 = between_0_and_1(a < b ? b : a);
  }
  const float xa = stroke.at.from_x + product(t0, stroke.dx), xb = stroke.at.from_x + product(t1, stroke.dx);
  return {(xa < xb ? xa : xb) - margin, (xa < xb ? xb : xa) + margin};
}

// Where a pixel lies between the middles of two cells.
struct Between {
  int first, second;
  float part;
};
SIGHTGLASS_SHARED Between between(int pixel, int from, int size, int cells) {
  const float at = product(float(pixel - from) + 0.5f, float(cells)) / float(size) - 0.5f;
  const int first = int(at) - (at < float(int(at)));
  return {within(first, 0, cells - 1), within(first + 1, 0, cells - 1), at - float(first)};
}
SIGHTGLASS_SHARED float blended(float first, float second, float part) {
  return product(first, 1 - part) + product(second, part);
}

// The first pixel of a cell, and the cell that a pixel of the area belongs to.
SIGHTGLASS_SHARED int edge(int cell, int cells, int from, int size) {
  return from + int((long long)(cell)*size / cells);
}
SIGHTGLASS_SHARED int cell_at(int pixel, int cells, int from, int size) {
  return int(((long long)(pixel - from + 1) * cells + size - 1) / size) - 1;
}

}  // namespace sightglass::draw
