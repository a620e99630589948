// video_inference and what derives from it: object_detect, object_classify, gvainference, gvadetect,
// gvaclassify.
#pragma once

#include <vector>

#include "sightglass/gst/bins/process_bin.h"

namespace sightglass::gst {

std::vector<const BinDesc*> inference_bins();

}  // namespace sightglass::gst
