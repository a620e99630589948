// What becomes of the results that a branch has computed from a frame, or from a region of it, when they come
// back to that frame.
#pragma once

#include <string_view>
#include <vector>

#include "sightglass/core/format.h"
#include "sightglass/core/frame.h"

namespace sightglass {

// Names for the raw tensors of a branch, made once per format: "model/layer".
std::vector<Label> tensor_names(const TensorsInfo& info);

// Adds the results in `result` to `frame`: boxes are moved to frame coordinates by the matrix and clipped;
// what was found in a region becomes its child, attributes go to the region, or to the frame when the whole
// frame was the input. `model` fills in where a result names none. With `tensors` the raw output goes along
// under these names. False when the region is not there any more.
bool join(const Frame& result, Label model, const std::vector<Label>& tensors, Frame& frame);

}  // namespace sightglass
