#include "sightglass/elements/selection/polygon.h"

#include <algorithm>
#include <cstddef>

namespace sightglass {
namespace {

double side(PlanePoint a, PlanePoint b, PlanePoint c) {
  return (double(b.x) - a.x) * (double(c.y) - a.y) - (double(b.y) - a.y) * (double(c.x) - a.x);
}
bool within(PlanePoint a, PlanePoint b, PlanePoint p) {
  return p.x >= std::min(a.x, b.x) && p.x <= std::max(a.x, b.x) && p.y >= std::min(a.y, b.y) &&
         p.y <= std::max(a.y, b.y);
}
bool cross(PlanePoint a, PlanePoint b, PlanePoint c, PlanePoint d) {
  const double c_side = side(a, b, c), d_side = side(a, b, d), a_side = side(c, d, a), b_side = side(c, d, b);
  if (((c_side > 0 && d_side < 0) || (c_side < 0 && d_side > 0)) &&
      ((a_side > 0 && b_side < 0) || (a_side < 0 && b_side > 0)))
    return true;
  return (c_side == 0 && within(a, b, c)) || (d_side == 0 && within(a, b, d)) ||
         (a_side == 0 && within(c, d, a)) || (b_side == 0 && within(c, d, b));
}

}  // namespace

bool contains(std::span<const PlanePoint> polygon, PlanePoint point) {
  bool inside = false;
  for (size_t i = 0, j = polygon.size() - 1; i < polygon.size(); j = i++) {
    const PlanePoint &a = polygon[i], &b = polygon[j];
    if ((a.y > point.y) != (b.y > point.y) &&
        double(point.x) < double(a.x) + (double(b.x) - a.x) * (double(point.y) - a.y) / (double(b.y) - a.y))
      inside = !inside;
  }
  return inside;
}

bool touches(std::span<const PlanePoint> polygon, const std::array<PlanePoint, 4>& rectangle) {
  if (polygon.empty()) return false;
  if (contains(polygon, rectangle[0]) || contains(rectangle, polygon[0])) return true;
  for (size_t i = 0, j = polygon.size() - 1; i < polygon.size(); j = i++)
    for (size_t k = 0; k < 4; ++k)
      if (cross(polygon[j], polygon[i], rectangle[k], rectangle[(k + 1) % 4])) return true;
  return false;
}

}  // namespace sightglass
