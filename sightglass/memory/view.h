// Part of a picture as a picture of its own, without a copy: the planes start further in and keep their
// strides.
#pragma once

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"

namespace sightglass {

// The part `crop` of the picture. Its left upper corner has to lie on a whole chroma sample (even for 4:2:0),
// and it has to lie within the picture; else invalid_argument. `crop`, `affine` and results of the view are
// empty.
Result<Frame> view_of(const Frame& frame, const Crop& crop);

}  // namespace sightglass
