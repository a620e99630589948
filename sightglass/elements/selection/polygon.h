// Points and boxes against polygons, in any unit. A polygon is closed and may cross itself: what lies inside
// an odd number of times is inside. Of a border the left and upper one belong to it.
#pragma once

#include <array>
#include <span>

namespace sightglass {

struct PlanePoint {
  float x = 0, y = 0;
  bool operator==(const PlanePoint&) const = default;
};

bool contains(std::span<const PlanePoint> polygon, PlanePoint point);
// Whether the polygon and the four corners' rectangle share anything.
bool touches(std::span<const PlanePoint> polygon, const std::array<PlanePoint, 4>& rectangle);

}  // namespace sightglass
