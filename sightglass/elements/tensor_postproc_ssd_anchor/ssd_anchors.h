// The boxes that an SSD head's numbers are relative to, made from strides or read from a file.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sightglass/core/result.h"

namespace sightglass {

// 0..1 of the model input.
struct SsdAnchor {
  float x = 0, y = 0, w = 1, h = 1;  // centre and size
};

// Anchors in the middle of every cell of the grids with these strides, `count` in all, by grid, row by row,
// those of a cell one behind the other. Neighbours with the same stride share a grid. `sizes`: sides in
// pixels of the boxes of a cell, equally many for each stride; empty: of size 1, as many for each stride as
// `count` needs. An error says which count would fit.
Result<std::vector<SsdAnchor>> make_anchors(std::span<const int64_t> strides, std::span<const double> sizes,
                                            int64_t width, int64_t height, int64_t count);

// The strides of the detectors that are known to have so many anchors without sizes; empty: none.
std::vector<int64_t> usual_strides(int64_t width, int64_t height, int64_t count);

// A text file with a line "x,y,w,h" for each anchor, the numbers apart by commas or blanks; lines that start
// with '#' do not count. An error names the file and the line.
Result<std::vector<SsdAnchor>> read_anchors(const std::string& path);

}  // namespace sightglass
