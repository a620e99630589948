// The arithmetic of the YOLO heads without anchors, and of those whose boxes come decoded: from a network's
// numbers to candidates in pixels of the model input. Heads with anchors: yolo_anchors.h.
//
// Scores below the threshold and boxes that are none are left out. Candidate::source is the row or anchor
// that an object comes from. No state, no allocation but that of `candidates`.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "sightglass/elements/detection/candidates.h"

namespace sightglass {

struct InputSize {
  int64_t width = 0, height = 0;  // pixels
  bool operator==(const InputSize&) const = default;
};

// Number of cells of the grids with strides 8, 16, 32 (with P6: and 64) that cover the input.
int64_t cell_count(InputSize size, bool with_p6 = false);
// The square input that has so many cells at strides 8, 16 and 32; nothing when there is none.
std::optional<InputSize> square_input(int64_t cells);

// YOLOX: a row of cx, cy, w, h, objectness, C class scores per cell, cells by stride and then row by row;
// centres relative to their cell and sizes as logarithms, both in strides; scores 0..1 already. `rows` has
// cell_count(size) rows of `columns`.
void decode_yolox(std::span<const float> rows, int64_t columns, int64_t classes, InputSize size, bool with_p6,
                  float threshold, std::vector<Candidate>& candidates);

// Rows of cx, cy, w, h in pixels, objectness, class scores 0..1 from column `first_class` on: YOLOv5 and v7
// as they are exported for use. Where class scores begin at column 4 there is no objectness.
void decode_rows(std::span<const float> rows, int64_t columns, int64_t first_class, int64_t classes,
                 float threshold, std::vector<Candidate>& candidates);

// YOLOv8 and later without anchors: `channels` × `anchors`, the channels being cx, cy, w, h in pixels, C
// class scores 0..1, and whatever a task adds behind them.
void decode_yolov8(std::span<const float> values, int64_t anchors, int64_t classes, float threshold,
                   std::vector<Candidate>& candidates);

// YOLOv10 and others that need no suppression: rows of x1, y1, x2, y2 in pixels (of oriented boxes cx, cy, w,
// h), score, class.
void decode_end2end(std::span<const float> rows, int64_t columns, bool centred, float threshold,
                    std::vector<Candidate>& candidates);

}  // namespace sightglass
