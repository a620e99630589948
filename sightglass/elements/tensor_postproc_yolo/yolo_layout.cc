#include "sightglass/elements/tensor_postproc_yolo/yolo_layout.h"

#include <algorithm>
#include <format>
#include <string_view>

#include "sightglass/elements/detection/model_outputs.h"

namespace sightglass {
namespace {

constexpr std::string_view known =
    "known are grids with anchors (head=anchor: v2 to v5, v7), rows [1,N,5+C] (head=x; head=anchor with its "
    "boxes decoded), columns [1,4+C,N] (head=v8) and rows [1,N,6] (head=end2end)";

std::unexpected<Error> unknown(const TensorsInfo& outputs, std::string_view why) {
  return fail(ErrorCode::not_negotiated, "no YOLO head has outputs {}: {}; {}", to_string(outputs), why,
              known);
}

YoloHead head_of(int version) {
  switch (version) {
    case 0:
      return YoloHead::automatic;
    case 8:
    case 9:
    case 11:
    case 12:
      return YoloHead::v8;
    case 10:
    case 26:
      return YoloHead::end2end;
    default:
      return YoloHead::anchor;
  }
}

bool has_cells(InputSize input, int64_t count, int64_t boxes) {
  if (count <= 0 || count % boxes != 0) return false;
  const int64_t cells = count / boxes;
  if (input.width > 0) return cell_count(input) == cells || cell_count(input, true) == cells;
  return square_input(cells).has_value();
}

// The head of a tensor with a row or column for each box.
Result<YoloHead> head_of_rows(const TensorsInfo& outputs, const Shape& shape, const YoloRequest& request) {
  const int64_t rows = shape[1], columns = shape[2];
  const bool is_grid = has_cells(request.input, rows, 1);
  if (columns == 6 && !is_grid && !has_cells(request.input, rows, 3)) return YoloHead::end2end;
  if (rows >= 5 && (columns < 0 || columns > rows)) return YoloHead::v8;
  if (columns >= 6 && (rows < 0 || is_grid)) return YoloHead::x;
  if (columns >= 6 && has_cells(request.input, rows, 3)) return YoloHead::anchor;
  return unknown(outputs, "set head, and input-width and input-height if the input is not square");
}

// Whether a tensor of four or five axes can be a grid of boxes.
bool is_grid(const TensorInfo& tensor) {
  const Shape& shape = tensor.shape;
  return shape.rank() == 5 ? shape[4] < 0 || shape[4] > 5 : shape.rank() == 4;
}

}  // namespace

Result<YoloLayout> find_layout(const TensorsInfo& outputs, const YoloRequest& request) {
  YoloLayout layout{.head = request.head != YoloHead::automatic ? request.head : head_of(request.version),
                    .task = request.task};
  const auto& tensors = outputs.tensors;
  int rows = 0, maps = 0;
  for (int i = 0; i < int(tensors.size()); ++i) {
    const Shape& shape = tensors[size_t(i)].shape;
    if (shape.rank() == 3) {
      layout.rows = i, ++rows;
    } else if (is_grid(tensors[size_t(i)]) || (shape.rank() == 2 && layout.head == YoloHead::anchor)) {
      layout.grids.push_back(i), ++maps;
    }
  }
  if (rows > 1) return unknown(outputs, "several have three axes");
  if (rows == 1) {
    // Exporters of v5 and v7 leave the raw grids beside the rows; prototypes stand alone.
    const Shape& shape = tensors[size_t(layout.rows)].shape;
    if (layout.head == YoloHead::automatic) {
      auto head = head_of_rows(outputs, shape, request);
      if (!head) return forward_error(head);
      layout.head = *head;
    }
    if (maps == 1 && tensors[size_t(layout.grids[0])].shape.rank() == 4) {
      layout.mask_weights = std::max<int64_t>(0, tensors[size_t(layout.grids[0])].shape[1]);
      if (layout.task == YoloTask::automatic || layout.task == YoloTask::seg)
        layout.prototypes = layout.grids[0];
    }
    if (layout.task == YoloTask::seg && layout.prototypes < 0)
      return unknown(outputs, "task=seg needs an output with the prototypes of masks, [1, K, height, width]");
    layout.grids.clear();
    const bool is_v8 = layout.head == YoloHead::v8;
    const int64_t boxes = shape[1], entries = shape[2];
    layout.columns_first = is_v8 && !(entries >= 5 && boxes > entries);
    const int64_t given = layout.columns_first ? boxes : entries, least = is_v8 ? 5 : 6;
    if (given >= 0 && given < least) return unknown(outputs, "too few channels");
  } else if (maps == 0) {
    return unknown(outputs, "none has three axes or is a grid");
  } else {
    if (layout.head == YoloHead::automatic) layout.head = YoloHead::anchor;
    if (layout.head != YoloHead::anchor) return unknown(outputs, "none has three axes");
    if (layout.task == YoloTask::seg || layout.task == YoloTask::obb || layout.task == YoloTask::pose)
      return unknown(outputs, "grids with anchors have boxes and keypoints only (task=box)");
    std::ranges::stable_sort(layout.grids, {}, [&](int i) { return tensors[size_t(i)].shape.elements(); });
    const bool five_axes = tensors[size_t(layout.grids[0])].shape.rank() == 5;
    layout.version = request.version > 0 && request.version < 8 ? request.version
                     : maps == 1                                ? 2
                     : five_axes                                ? 5
                                                                : 3;
  }
  if (layout.head == YoloHead::anchor && layout.version == 0)
    layout.version = request.version > 0 && request.version < 8 ? request.version : 5;
  if (layout.head == YoloHead::anchor) {
    layout.boxes = request.boxes > 0 ? request.boxes : layout.version == 2 ? 5 : 3;
    const Shape first = layout.grids.empty() ? Shape() : tensors[size_t(layout.grids[0])].shape;
    if (first.rank() == 5 && first[1] > 0) layout.boxes = first[1];
  }
  if (layout.task == YoloTask::automatic && layout.prototypes >= 0) layout.task = YoloTask::seg;
  return layout;
}

Result<YoloEntries> find_entries(const YoloLayout& layout, const YoloRequest& request, int64_t count) {
  YoloEntries entries;
  const bool is_anchor = layout.head == YoloHead::anchor;
  const int64_t points_before = is_anchor ? request.keypoints : 0;
  const bool pose = layout.task == YoloTask::pose;
  entries.first_class = layout.head == YoloHead::v8        ? 4
                        : layout.head == YoloHead::end2end ? 6
                                                           : 5 + 2 * points_before;
  int64_t left = count - entries.first_class;
  if (points_before > 0) entries.points = points_before, entries.first_point = 5, entries.point_size = 2;

  int64_t classes = layout.head == YoloHead::end2end ? 0 : request.classes;
  if (classes == 0 && layout.head != YoloHead::end2end) {
    // Everything that no task needs is a class; people are the only one of those with joints.
    switch (layout.task) {
      case YoloTask::obb:
        classes = left - 1;
        break;
      case YoloTask::seg:
        classes = left - layout.mask_weights;
        break;
      case YoloTask::pose:
        classes = request.keypoints > 0 && left > 3 * request.keypoints   ? left - 3 * request.keypoints
                  : request.keypoints > 0 && left > 2 * request.keypoints ? left - 2 * request.keypoints
                                                                          : 1;
        break;
      default:
        classes = layout.mask_weights < left ? left - layout.mask_weights : left;
        break;
    }
  }
  const auto wrong = [&](std::string_view why) {
    return fail(ErrorCode::invalid_argument,
                "the boxes of the output have {} numbers, which are not {} of the box and its score, {} "
                "classes or labels and {}",
                count, entries.first_class, classes, why);
  };
  entries.classes = classes;
  left -= classes;
  if (left < 0 || (classes < 1 && layout.head != YoloHead::end2end)) return wrong("nothing else");
  const int64_t behind = entries.first_class + classes;
  switch (layout.task) {
    case YoloTask::box:
      break;
    case YoloTask::automatic:
      if (left > 0 && layout.head != YoloHead::end2end)
        return wrong("nothing else; task says what the others are, task=box reads the boxes only");
      break;
    case YoloTask::obb:
      if (left != 1) return wrong("an angle (task=obb)");
      entries.angle = behind;
      break;
    case YoloTask::seg:
      if (left != layout.mask_weights)
        return wrong(std::format("{} weights of masks (task=seg)", layout.mask_weights));
      entries.first_weight = behind;
      break;
    case YoloTask::pose:
      break;
  }
  if (pose && !(is_anchor && points_before > 0)) {
    const int64_t points = request.keypoints > 0 ? request.keypoints : left % 3 == 0 ? left / 3 : left / 2;
    if (points < 1 || (left != 3 * points && left != 2 * points))
      return wrong("two or three numbers for each keypoint (task=pose; keypoints says how many there are)");
    entries.points = points, entries.first_point = behind, entries.point_size = left / points;
  }
  return entries;
}

Result<AnchorGrid> find_grid(const YoloLayout& layout, const YoloRequest& request, const Shape& shape) {
  AnchorGrid grid;
  const auto wrong = [&](std::string_view why) {
    return fail(ErrorCode::not_negotiated, "the output {} is no grid of boxes with anchors: {}",
                shape.to_string(), why);
  };
  int64_t channels = 0;
  bool channels_last = false;
  if (!shape.fixed()) return wrong("its size is unknown");
  if (shape.rank() == 5) {
    grid.boxes = shape[1], grid.height = shape[2], grid.width = shape[3], grid.entries = shape[4];
    channels = grid.boxes * grid.entries;
  } else if (shape.rank() == 4) {
    // Channels are many, or at least no multiple of anything else: an axis that boxes divide.
    const int64_t boxes = layout.boxes;
    const auto fits = [&](int64_t n) {
      return n % boxes == 0 && n / boxes > 5 &&
             (request.classes == 0 || n / boxes == 5 + 2 * request.keypoints + request.classes);
    };
    channels_last = fits(shape[3]) && (!fits(shape[1]) || shape[3] > shape[1]);
    if (!channels_last && !fits(shape[1]))
      return wrong(
          std::format("{} boxes for each cell and {} classes do not fit (bbox-number-on-cell, "
                      "classes)",
                      boxes, request.classes));
    channels = channels_last ? shape[3] : shape[1];
    grid.height = shape[channels_last ? 1 : 2], grid.width = shape[channels_last ? 2 : 3];
    grid.boxes = boxes, grid.entries = channels / boxes;
  } else {
    // A list of numbers, as the region layers of OpenVINO make it: the size of the grid has to be known.
    grid.boxes = layout.boxes;
    grid.entries = 5 + 2 * request.keypoints + (request.classes > 0 ? request.classes : 80);
    InputSize cells = request.cells;
    if (cells.width == 0) cells = {request.input.width / 32, request.input.height / 32};
    const int64_t count = shape.elements(), one = grid.boxes * grid.entries * cells.width * cells.height;
    if (one <= 0) return wrong("cells-number, or input-width and input-height, have to say its size");
    int64_t factor = 1;  // of the finer grids
    while (factor * factor * one < count) factor *= 2;
    if (factor * factor * one != count)
      return wrong(std::format("{}x{} cells with {} boxes of {} numbers do not fill it", cells.width,
                               cells.height, grid.boxes, grid.entries));
    grid.width = cells.width * factor, grid.height = cells.height * factor;
    channels = grid.boxes * grid.entries;
  }
  if (grid.entries < 6 + 2 * request.keypoints || grid.boxes < 1) return wrong("a box has too few numbers");
  if (shape.rank() == 5) {
    grid.x_step = grid.entries, grid.y_step = grid.width * grid.x_step;
    grid.box_step = grid.height * grid.y_step, grid.entry_step = 1;
  } else if (channels_last) {
    grid.x_step = channels, grid.y_step = grid.width * channels;
    grid.box_step = grid.entries, grid.entry_step = 1;
  } else {
    grid.x_step = 1, grid.y_step = grid.width;
    grid.entry_step = grid.height * grid.width, grid.box_step = grid.entries * grid.entry_step;
  }
  return grid;
}

}  // namespace sightglass
