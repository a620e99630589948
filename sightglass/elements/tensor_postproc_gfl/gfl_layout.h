// Which outputs of a detector with distance heads belong together: for each stride one with class scores and
// one with distances, perhaps one with landmarks; or one output with all strides behind each other.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sightglass/core/format.h"
#include "sightglass/core/result.h"
#include "sightglass/elements/detection/model_outputs.h"

namespace sightglass {

struct GflRequest {
  std::vector<int64_t> strides;  // empty: from the numbers of cells
  int64_t classes = 0;           // 0: unknown
  bool landmarks = true;
  int64_t width = 0, height = 0;  // of the model input, pixels; 0: unknown
};

struct GflLevel {
  int64_t stride = 0, width = 0, height = 0;  // pixels; cells
  int64_t boxes = 1;                          // of a cell
  CellRows scores, distances, points;
  int64_t first_column = 0;  // of the distances, where they share rows with the scores
  int64_t first_cell = 0;    // row, where all strides share an output
  int64_t classes = 0, bins = 1, landmarks = 0;

  int64_t rows() const { return width * height * boxes; }
};

struct GflLayout {
  std::vector<GflLevel> levels;   // finest first
  int64_t width = 0, height = 0;  // of the model input
};

// `outputs` have to have the shapes of a frame. An error names them.
Result<GflLayout> find_gfl(const TensorsInfo& outputs, std::span<const CellRows> rows,
                           const GflRequest& request);

}  // namespace sightglass
