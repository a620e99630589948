// Which YOLO head made these outputs, and what stands where in them: by what the parameters say, then by
// shapes. Made once per format; names are never looked at.
#pragma once

#include <cstdint>
#include <vector>

#include "sightglass/core/format.h"
#include "sightglass/core/result.h"
#include "sightglass/elements/tensor_postproc_yolo/yolo_anchors.h"
#include "sightglass/elements/tensor_postproc_yolo/yolo_heads.h"

namespace sightglass {

enum class YoloHead { automatic, anchor, x, v8, end2end };
enum class YoloTask { automatic, box, obb, pose, seg };

// What the parameters say.
struct YoloRequest {
  YoloHead head = YoloHead::automatic;
  YoloTask task = YoloTask::automatic;
  int version = 0;        // 0: unknown
  int64_t classes = 0;    // 0: unknown
  int64_t keypoints = 0;  // 0: unknown, or none
  int64_t boxes = 0;      // of a cell of an anchor head; 0: unknown
  InputSize cells;        // of the smallest grid; 0: unknown
  InputSize input;        // of the model; 0: unknown
};

struct YoloLayout {
  YoloHead head = YoloHead::automatic;
  YoloTask task = YoloTask::automatic;
  int version = 0;             // of an anchor head: 2 to 5, 7
  int rows = -1;               // tensor with a row or column for each box; -1: grids
  bool columns_first = false;  // that tensor is [1, channels, boxes], not [1, boxes, channels]
  std::vector<int> grids;      // tensors of an anchor head, by rising number of cells
  int64_t boxes = 1;           // of a cell of an anchor head
  int prototypes = -1;         // tensor that masks are mixed from
  int64_t mask_weights = 0;    // of each object, as many as there are prototypes
};
Result<YoloLayout> find_layout(const TensorsInfo& outputs, const YoloRequest& request);

// What the numbers of one box are.
struct YoloEntries {
  int64_t first_class = 0, classes = 0;
  int64_t points = 0, first_point = 0, point_size = 0;  // numbers of a point: x, y and perhaps a score
  int64_t angle = -1;                                   // -1: none
  int64_t first_weight = -1;                            // of the mask; -1: none
};
// `count`: how many numbers a box has. The error says which do not add up.
Result<YoloEntries> find_entries(const YoloLayout& layout, const YoloRequest& request, int64_t count);

// One of `layout.grids` as a grid; the shape is that of one sample.
Result<AnchorGrid> find_grid(const YoloLayout& layout, const YoloRequest& request, const Shape& shape);

}  // namespace sightglass
