// video_inference and what derives from it: object_detect, object_classify, gvainference, gvadetect,
// gvaclassify.
#pragma once

#include <vector>

#include "sightglass/bins/bin.h"

namespace sightglass {

std::vector<const BinDesc*> inference_bins();

}  // namespace sightglass
