// Bins around the objects of a frame: object_track and meta_overlay, and their older names gvatrack and
// gvawatermark.
#pragma once

#include <vector>

#include "sightglass/bins/bin.h"

namespace sightglass {

std::vector<const BinDesc*> object_bins();

}  // namespace sightglass
