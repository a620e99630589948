#include "sightglass/core/frame.h"

#include <algorithm>
#include <cmath>

namespace sightglass {

Affine concat(const Affine& first, const Affine& then) {
  const double* a = first.m;
  const double* b = then.m;
  return {{b[0] * a[0] + b[1] * a[3], b[0] * a[1] + b[1] * a[4], b[0] * a[2] + b[1] * a[5] + b[2],  //
           b[3] * a[0] + b[4] * a[3], b[3] * a[1] + b[4] * a[4], b[3] * a[2] + b[4] * a[5] + b[5]}};
}

Box apply(const Affine& affine, const Box& box) {
  const double* m = affine.m;
  const double x0 = box.x, y0 = box.y, w = box.w, h = box.h;
  // The corners are one moved corner plus 0 or the two moved sides.
  const double x = m[0] * x0 + m[1] * y0 + m[2], y = m[3] * x0 + m[4] * y0 + m[5];
  const double left = std::min(0.0, m[0] * w) + std::min(0.0, m[1] * h);
  const double top = std::min(0.0, m[3] * w) + std::min(0.0, m[4] * h);
  const double width = std::abs(m[0] * w) + std::abs(m[1] * h);
  const double height = std::abs(m[3] * w) + std::abs(m[4] * h);
  return {float(x + left), float(y + top), float(width), float(height)};
}

void Frame::clear() {
  video.reset();
  tensors.clear();
  pts = duration = no_time;
  crop.reset();
  affine.reset();
  source.reset();
  batch.clear();
  regions.clear();
  attributes = nullptr;
  json.clear();
}

}  // namespace sightglass
