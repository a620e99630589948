// Parameters of opencv_warp_affine; the element itself lies in the module opencv-elements.
#pragma once

namespace sightglass {

struct OpencvWarpAffineParams {
  enum class Unit { radians, degrees };
  double angle = 0;  // positive: counter-clockwise
  bool sync = false;
  Unit angle_unit = Unit::radians;
};

}  // namespace sightglass
