// How much two turned boxes overlap: intersection over union of the rectangles themselves, by clipping one by
// the other. (detection/candidates.h has the smooth measure that networks with oriented boxes are trained
// by.)
#pragma once

#include "sightglass/core/region.h"

namespace sightglass {

// Boxes in 0..1 of a picture of that size in pixels (any unit will do; the angles are meant in it), radians
// clockwise about their centres. 0..1; 0 where a box is none (NaN, no area). No allocation.
float rotated_iou(const Box& a, float angle_a, const Box& b, float angle_b, float width = 1,
                  float height = 1);

}  // namespace sightglass
