// The YOLO heads with anchors, v2 to v5 and v7, as they leave the network: one grid for each stride, every
// cell with a few boxes whose sizes are multiples of their anchors.
//
//   box of version 2 to 4   x = σ(tx) + cell x, w = exp(tw) · anchor
//   box of version 5 and 7  x = 2σ(tx) − ½ + cell x, w = (2σ(tw))² · anchor
//   score                   σ(objectness) · best class, softmax or σ each
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sightglass/core/tensor.h"
#include "sightglass/elements/detection/candidates.h"

namespace sightglass {

// The usual anchors for COCO, widths and heights in pixels, by rising size.
std::span<const float> default_anchors(int version, size_t layers);

// Where the numbers of a grid stand: a tensor [1, boxes, height, width, entries], [1, boxes·entries, height,
// width], [1, height, width, boxes·entries], or the second without axes.
struct AnchorGrid {
  int64_t boxes = 0, height = 0, width = 0,
          entries = 0;  // entries: 4 of the box, objectness, points, classes
  int64_t box_step = 0, y_step = 0, x_step = 0, entry_step = 1;  // in numbers

  int64_t cells() const { return boxes * height * width; }
};

struct AnchorRules {
  bool squared_sizes = false;          // version 5 and 7
  bool softmax = true;                 // of class scores
  bool sigmoid = true;                 // the network's numbers are logits
  int64_t points = 0;                  // pairs between objectness and classes
  float stride_x = 32, stride_y = 32;  // pixels per cell
  std::span<const float> anchors;      // one pair for each box of a cell, in pixels
};

// Adds the candidates in pixels of the model input, Candidate::source counted from `first_source`.
void decode_grid(std::span<const float> values, const AnchorGrid& grid, const AnchorRules& rules,
                 float threshold, uint32_t first_source, std::vector<Candidate>& candidates);

// The points of the box `source` of this grid, pairs in pixels: an anchor's share from the corner of the
// cell. `numbers` are those between its objectness and its classes.
void grid_points(std::span<const float> numbers, const AnchorGrid& grid, const AnchorRules& rules,
                 uint32_t source, std::span<float> pairs);
// Where the numbers of a box begin in its grid.
int64_t first_number(const AnchorGrid& grid, uint32_t source);

// Below it the sigmoid is surely below the threshold. A little less than exact: rounding decides later.
float least_logit(float threshold);

}  // namespace sightglass
