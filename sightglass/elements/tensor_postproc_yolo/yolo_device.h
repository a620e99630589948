// The YOLO heads as the kernel of detection/cuda_boxes.cu reads them on a device.
#pragma once

#include <optional>

#include "sightglass/elements/detection/device_boxes.h"
#include "sightglass/elements/tensor_postproc_yolo/yolo_anchors.h"
#include "sightglass/elements/tensor_postproc_yolo/yolo_layout.h"

namespace sightglass {

// Numbers of a box that its details are made from.
struct YoloExtras {
  int64_t first = 0, count = 0;
};
YoloExtras extras_of(const YoloLayout& layout, const YoloEntries& entries);

// Rows of an output, the first that the device has found. None: they are more than the kernel takes.
struct YoloRows {
  int64_t boxes = 0, numbers = 0;        // of the output
  int64_t box_step = 0, entry_step = 0;  // from box to box, from number to number
  InputSize size;                        // of the model input
  bool with_p6 = false;
};
std::optional<cuda::BoxTask> rows_task(const YoloLayout& layout, const YoloEntries& entries,
                                       const YoloRows& rows, float threshold, const DeviceBoxes& device);

// Adds the next grid, an output that the device has found. False: it is more than the kernel takes.
bool add_grid(cuda::BoxTask& task, size_t output, const AnchorGrid& grid, const AnchorRules& rules,
              uint32_t first_source, const DeviceBoxes& device);
// Of a task without grids.
cuda::BoxTask grids_task(const AnchorGrid& grid, const AnchorRules& rules, float threshold);

}  // namespace sightglass
