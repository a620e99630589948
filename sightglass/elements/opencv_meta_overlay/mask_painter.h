// Tints a picture where a mask says so. The mask has cells of its own size, spread over a part of the
// picture.
//
// Keeps its working memory: no allocation once warm. Not thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "sightglass/elements/opencv_meta_overlay/draw_list.h"

namespace sightglass {

class Canvas;

class MaskPainter {
 public:
  // Scores, f32 [height, width]: one colour where they are 0.5 or more. They are interpolated between the
  // middles of the cells, so that edges are smooth.
  void tint(Canvas& canvas, const Mapping& scores, const Rect& area, const Ink& ink);
  // Label ids, u8 [height, width]: a colour for each; 255 is left as it is.
  void tint_labels(Canvas& canvas, const Mapping& labels, const Rect& area);

 private:
  std::vector<uint8_t> coverage_;
  std::vector<draw::Between> across_;
  std::vector<float> row_;
};

}  // namespace sightglass
