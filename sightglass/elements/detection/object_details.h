// What detectors know of an object beyond its box, as attributes of its region: points and a mask.
//
// Points are triples x, y, score in 0..1 of the model input; one that is not a number counts as not found
// (x = y = -1). A mask is a grid of scores 0..1 that covers a part of the model input, usually no more than
// the object's box: small, never of the size of the frame.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/elements/detection/candidates.h"
#include "sightglass/memory/system/system_memory_pool.h"

namespace sightglass {

// Adds an attribute of kind keypoints. `triples` is cleaned of what is no number on the way.
void add_keypoints(Region& region, Label name, std::vector<float> triples, const Ref<const Legend>& legend);

// What the points of the usual face detectors are: 5 (eyes, nose, corners of the mouth) or 6 (eyes, nose,
// mouth, ears), the person's right first; null for other counts.
Ref<const Legend> face_legend(size_t points);

// Memory for the masks of one frame after the other, one block for each frame, out of a pool: once warm,
// nothing is allocated.
class MaskMemory {
 public:
  // A new block for masks of so many cells in all; that of the last frame belongs to who holds its masks.
  Status begin(size_t cells);
  struct Mask {
    Tensor tensor;        // [height, width], f32
    std::span<float> at;  // its cells, row by row
  };
  // The next mask of the block, not initialised. There has to be room for it.
  Mask take(int64_t height, int64_t width);

 private:
  Ref<SystemMemoryPool> pool_;
  Ref<SystemMemory> block_;
  size_t used_ = 0;  // bytes
};

// Adds the attribute `mask`, covering `covers` (0..1 of the model input).
void add_mask(Region& region, const Tensor& mask, const Box& covers);

// Cells of a grid, from x0, y0 to before x1, y1.
struct CellRange {
  int64_t x0 = 0, y0 = 0, x1 = 0, y1 = 0;
  int64_t width() const { return x1 - x0; }
  int64_t height() const { return y1 - y0; }
};

// Pictures that the masks of all objects are mixed from, each object with weights of its own: [count, height,
// width] over the whole model input.
struct Prototypes {
  std::span<const float> values;
  int64_t count = 0, height = 0, width = 0;

  // The cells that a box (0..1 of the model input) touches; none where it lies outside.
  CellRange cells(const Box& box) const;
  Box covers(const CellRange& cells) const;  // 0..1 of the model input
  // Mask of an object: sigmoid of the weighted sum; 0 in cells whose centre is outside of its box.
  void mix(std::span<const float> weights, const Box& box, const CellRange& cells,
           std::span<float> mask) const;
};

}  // namespace sightglass
