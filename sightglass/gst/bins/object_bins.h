// Bins around the objects of a frame: object_track and meta_overlay, and their older names gvatrack and
// gvawatermark.
#pragma once

#include <vector>

#include "sightglass/gst/bins/process_bin.h"

namespace sightglass::gst {

std::vector<const BinDesc*> object_bins();

}  // namespace sightglass::gst
