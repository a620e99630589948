#include "sightglass/elements/tensor_postproc_yolo/yolo_device.h"

#include <algorithm>
#include <limits>

namespace sightglass {
namespace {

constexpr int64_t most_sources = std::numeric_limits<int32_t>::max() - cuda::box_threads;

cuda::BoxHead head_of(YoloHead head) {
  return head == YoloHead::x         ? cuda::x_head
         : head == YoloHead::end2end ? cuda::end2end_head
                                     : cuda::rows_head;
}

}  // namespace

YoloExtras extras_of(const YoloLayout& layout, const YoloEntries& entries) {
  int64_t first = std::numeric_limits<int64_t>::max(), end = 0;
  const auto add = [&](int64_t from, int64_t count) {
    first = std::min(first, from), end = std::max(end, from + count);
  };
  if (entries.points > 0) add(entries.first_point, entries.points * entries.point_size);
  if (entries.first_weight >= 0) add(entries.first_weight, layout.mask_weights);
  return end > 0 ? YoloExtras{first, end - first} : YoloExtras{};
}

std::optional<cuda::BoxTask> rows_task(const YoloLayout& layout, const YoloEntries& entries,
                                       const YoloRows& rows, float threshold, const DeviceBoxes& device) {
  const YoloExtras extras = extras_of(layout, entries);
  if (rows.boxes > most_sources || rows.numbers > most_sources || extras.count > DeviceBoxes::most_extras)
    return {};
  cuda::BoxTask task{};
  task.head = head_of(layout.head);
  task.sources = unsigned(rows.boxes);
  task.threshold = threshold;
  task.first_class = int(entries.first_class), task.classes = int(entries.classes);
  task.angle = int(entries.angle), task.is_centred = entries.angle >= 0;
  task.first_extra = int(extras.first), task.extras = int(extras.count);
  const auto add = [&](int64_t first, int64_t width, int64_t height, int stride) {
    cuda::BoxLevel& level = task.level[task.levels++];
    level.values[0] = device.address(0, first * rows.box_step);
    level.first_source = unsigned(first);
    level.width = int(width), level.height = int(height);
    level.box_step = rows.box_step, level.entry_step = rows.entry_step;
    level.stride_x = level.stride_y = float(stride);
  };
  if (layout.head != YoloHead::x) {
    add(0, 0, 0, 1);
    return task;
  }
  int64_t first = 0;
  for (int stride = 8; stride <= (rows.with_p6 ? 64 : 32); stride *= 2) {
    const int64_t width = rows.size.width / stride, height = rows.size.height / stride;
    if (width * height > 0) add(first, width, height, stride);
    first += width * height;
  }
  task.sources = unsigned(first);
  return task;
}

cuda::BoxTask grids_task(const AnchorGrid& grid, const AnchorRules& rules, float threshold) {
  cuda::BoxTask task{};
  task.head = cuda::anchor_head;
  task.threshold = threshold;
  task.first_class = int(5 + 2 * rules.points), task.classes = int(grid.entries) - task.first_class;
  task.angle = -1;
  task.softmax = rules.softmax, task.sigmoid = rules.sigmoid, task.squared_sizes = rules.squared_sizes;
  task.least_logit = least_logit(threshold);
  task.first_extra = 5, task.extras = int(2 * rules.points);
  return task;
}

bool add_grid(cuda::BoxTask& task, size_t output, const AnchorGrid& grid, const AnchorRules& rules,
              uint32_t first_source, const DeviceBoxes& device) {
  if (task.levels == cuda::most_levels || grid.boxes > cuda::most_anchors ||
      first_source + grid.cells() > most_sources || task.extras > DeviceBoxes::most_extras ||
      grid.entries != task.first_class + task.classes)
    return false;
  if (grid.cells() == 0) return true;
  cuda::BoxLevel& level = task.level[task.levels++];
  level.values[0] = device.address(output);
  level.first_source = first_source;
  level.width = int(grid.width), level.height = int(grid.height);
  level.box_step = grid.box_step, level.y_step = grid.y_step, level.x_step = grid.x_step;
  level.entry_step = grid.entry_step;
  level.stride_x = rules.stride_x, level.stride_y = rules.stride_y;
  std::ranges::copy(rules.anchors, level.anchors);
  task.sources = first_source + unsigned(grid.cells());
  return true;
}

}  // namespace sightglass
