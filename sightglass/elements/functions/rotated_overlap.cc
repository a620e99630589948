#include "sightglass/elements/functions/rotated_overlap.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace sightglass {
namespace {

struct Corner {
  double x, y;
};

// A convex polygon; a rectangle that is cut by four lines has eight corners at most.
struct Convex {
  std::array<Corner, 12> corners;
  int count = 0;
  void add(Corner corner) { corners[size_t(count++)] = corner; }
};

Convex rectangle(const Box& box, double angle, double width, double height, Corner origin) {
  const double cx = (double(box.x) + double(box.w) / 2) * width - origin.x;
  const double cy = (double(box.y) + double(box.h) / 2) * height - origin.y;
  const double w = double(box.w) * width / 2, h = double(box.h) * height / 2;
  const double c = std::cos(angle), s = std::sin(angle);
  Convex made;
  for (const auto& [dx, dy] : {Corner{-w, -h}, Corner{w, -h}, Corner{w, h}, Corner{-w, h}})
    made.add({cx + c * dx - s * dy, cy + s * dx + c * dy});
  return made;
}

double area(const Convex& polygon) {
  double sum = 0;
  for (int i = 0; i < polygon.count; ++i) {
    const Corner &a = polygon.corners[size_t(i)], &b = polygon.corners[size_t((i + 1) % polygon.count)];
    sum += a.x * b.y - a.y * b.x;
  }
  return std::abs(sum) / 2;
}

// What of the polygon lies on the right of the line (y down: inside of a clockwise rectangle).
Convex clip(const Convex& polygon, Corner from, Corner to) {
  const auto side = [&](Corner p) {
    return (to.x - from.x) * (p.y - from.y) - (to.y - from.y) * (p.x - from.x);
  };
  Convex kept;
  for (int i = 0; i < polygon.count; ++i) {
    const Corner a = polygon.corners[size_t(i)], b = polygon.corners[size_t((i + 1) % polygon.count)];
    const double at_a = side(a), at_b = side(b);
    if (at_a >= 0 && kept.count < 12) kept.add(a);
    if ((at_a > 0 && at_b < 0) || (at_a < 0 && at_b > 0)) {
      const double part = at_a / (at_a - at_b);
      if (kept.count < 12) kept.add({a.x + part * (b.x - a.x), a.y + part * (b.y - a.y)});
    }
  }
  return kept;
}

bool is_box(const Box& box, float angle) {
  return box.w > 0 && box.h > 0 && std::isfinite(box.x + box.y + box.w + box.h + angle);
}

}  // namespace

float rotated_iou(const Box& a, float angle_a, const Box& b, float angle_b, float width, float height) {
  if (!is_box(a, angle_a) || !is_box(b, angle_b) || !(width > 0 && height > 0)) return 0;
  // Boxes whose circles do not meet are the usual case.
  const double dx = (double(a.x) + a.w / 2 - b.x - b.w / 2) * width,
               dy = (double(a.y) + a.h / 2 - b.y - b.h / 2) * height;
  const double radii = std::hypot(double(a.w) * width, double(a.h) * height) / 2 +
                       std::hypot(double(b.w) * width, double(b.h) * height) / 2;
  if (dx * dx + dy * dy >= radii * radii) return 0;
  // About the middle of one of them, so that digits are not lost far from the origin.
  const Corner origin{(double(a.x) + double(a.w) / 2) * width, (double(a.y) + double(a.h) / 2) * height};
  Convex common = rectangle(a, angle_a, width, height, origin);
  const Convex other = rectangle(b, angle_b, width, height, origin);
  const double area_a = area(common), area_b = area(other);
  for (size_t i = 0; i < 4 && common.count > 0; ++i)
    common = clip(common, other.corners[i], other.corners[(i + 1) % 4]);
  const double both = common.count < 3 ? 0 : area(common), whole = area_a + area_b - both;
  return whole > 0 ? float(std::clamp(both / whole, 0.0, 1.0)) : 0;
}

}  // namespace sightglass
