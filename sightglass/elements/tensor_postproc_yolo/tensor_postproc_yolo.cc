#include "sightglass/elements/tensor_postproc_yolo/tensor_postproc_yolo.h"

#include <algorithm>
#include <string_view>

#include "sightglass/core/registry.h"

namespace sightglass {
namespace {

using Head = TensorPostprocYolo::Head;
using Task = TensorPostprocYolo::Task;

constexpr std::string_view supported =
    "supported are X (head=x), v8, v9, v11 (head=v8), v10, v26 (head=end2end)";

std::unexpected<Error> not_supported(std::string_view what) {
  return fail(ErrorCode::unsupported, "{} is not supported by this version; {}, task=box", what, supported);
}

Head head_of(int version) {
  switch (version) {
    case 0:
      return Head::automatic;
    case 8:
    case 9:
    case 11:
      return Head::v8;
    case 10:
    case 26:
      return Head::end2end;
    default:
      return Head::anchor;
  }
}

// Masks of instances are mixed from as many pictures as each box has coefficients: a tensor [1, K, height,
// width].
int64_t mask_coefficients(const TensorsInfo& outputs) {
  for (const TensorInfo& tensor : outputs.tensors)
    if (tensor.shape.rank() == 4) return std::max<int64_t>(tensor.shape[1], 0);
  return 0;
}

}  // namespace

Status TensorPostprocYolo::start() {
  const Params& p = params_;
  if (p.head == Head::anchor) return not_supported("head=anchor");
  if (p.head == Head::automatic && head_of(p.version) == Head::anchor)
    return not_supported(std::format("version={}", p.version));
  if (p.task == Task::obb) return not_supported("task=obb");
  if (p.task == Task::pose) return not_supported("task=pose");
  if (p.task == Task::seg) return not_supported("task=seg");
  if (!p.anchors.empty()) return not_supported("anchors");
  if (!p.masks.empty()) return not_supported("masks");
  if (p.cells_number || p.cells_number_x || p.cells_number_y) return not_supported("cells-number");
  if (p.bbox_number_on_cell) return not_supported("bbox-number-on-cell");
  if (p.keypoints) return not_supported("keypoints");
  auto labels = load_labels(p.labels, p.labels_file);
  if (!labels) return forward_error(labels);
  if (p.classes > 0 && labels->size() > size_t(p.classes))
    return fail(ErrorCode::invalid_argument, "{} labels for classes={}", labels->size(), p.classes);
  labels_ = std::move(*labels);
  return {};
}

void TensorPostprocYolo::update(const ParamSet& params) {
  params_.threshold = params.as<Params>().threshold;
  params_.iou_threshold = params.as<Params>().iou_threshold;
}

Status TensorPostprocYolo::find_head(const TensorsInfo& outputs) {
  const auto unknown = [&](std::string_view why) {
    return fail(ErrorCode::not_negotiated, "no YOLO head has outputs {}: {}; {}", to_string(outputs), why,
                supported);
  };
  int count = 0;
  for (size_t i = 0; i < outputs.tensors.size(); ++i)
    if (outputs.tensors[i].shape.rank() == 3) tensor_ = int(i), ++count;
  if (count != 1) return unknown(count == 0 ? "none has three axes" : "several have three axes");
  const Shape& shape = outputs.tensors[size_t(tensor_)].shape;
  rows_ = shape[1], columns_ = shape[2];

  head_ = params_.head != Head::automatic ? params_.head : head_of(params_.version);
  if (head_ == Head::automatic) {
    const InputSize given{params_.input_width, params_.input_height};
    const bool is_grid =
        cell_count(given) == rows_ || cell_count(given, true) == rows_ || square_input(rows_);
    if (columns_ == 6 && !(rows_ > 0 && is_grid))
      head_ = Head::end2end;
    else if (rows_ >= 5 && (columns_ < 0 || columns_ > rows_))
      head_ = Head::v8;
    else if (columns_ >= 6 && (rows_ < 0 || is_grid))
      head_ = Head::x;
    else if (columns_ >= 6 && rows_ % 3 == 0 && (square_input(rows_ / 3) || cell_count(given) * 3 == rows_))
      return unknown("this is one with anchors");
    else
      return unknown("set head, and input-width and input-height if the input is not square");
  }
  const bool fits = head_ == Head::v8 ? rows_ < 0 || rows_ >= 5 : columns_ < 0 || columns_ >= 6;
  return fits ? Status() : Status(unknown("too few channels"));
}

Status TensorPostprocYolo::find_classes(const TensorsInfo& outputs) {
  classes_ = params_.classes > 0 ? params_.classes : int64_t(labels_.size());
  if (head_ == Head::end2end) return {};
  const int64_t channels = head_ == Head::v8 ? rows_ : columns_;
  if (channels < 0) return {};
  const int64_t scores = channels - (head_ == Head::v8 ? 4 : 5);
  const int64_t masks = mask_coefficients(outputs);
  if (classes_ == 0) classes_ = masks < scores ? scores - masks : scores;
  if (classes_ > scores)
    return fail(ErrorCode::invalid_argument,
                "{} classes or labels, but the output {} has only {} class scores", classes_,
                to_string(outputs), scores);
  if (classes_ < scores && params_.task != Task::box)
    return fail(ErrorCode::invalid_argument,
                "{} classes or labels, but the output {} has {} numbers behind the box; task=box reads the "
                "boxes only",
                classes_, to_string(outputs), scores);
  return {};
}

Status TensorPostprocYolo::find_size(int64_t cells) {
  if (cells == cells_) return {};
  const InputSize given{params_.input_width, params_.input_height};
  const bool is_given = given.width > 0 && given.height > 0;
  with_p6_ = false;
  if (is_given) {
    size_ = given;
    with_p6_ = cell_count(given) != cells && cell_count(given, true) == cells;
    if (head_ == Head::x && cell_count(given, with_p6_) != cells)
      return fail(ErrorCode::invalid_argument,
                  "input-width={} and input-height={} make {} cells, but the output has {}", given.width,
                  given.height, cell_count(given), cells);
  } else if (auto square = square_input(cells)) {
    size_ = *square;
  } else {
    return fail(ErrorCode::invalid_argument,
                "{} boxes do not tell the size of the model input; set input-width and input-height", cells);
  }
  cells_ = cells;
  return {};
}

Status TensorPostprocYolo::configure(const Format& input, const Format&) {
  auto outputs = outputs_of(input);
  if (!outputs) return forward_error(outputs);
  model_ = Label((*outputs)->model);
  if (auto found = find_head(**outputs); !found) return found;
  if (auto found = find_classes(**outputs); !found) return found;
  cells_ = -1;
  const int64_t cells = head_ == Head::v8 ? columns_ : rows_;
  if (cells >= 0 && head_ != Head::end2end) return find_size(cells);
  // The number of an end-to-end head's rows has nothing to do with the input.
  if (head_ == Head::end2end && (params_.input_width == 0 || params_.input_height == 0))
    return fail(ErrorCode::invalid_argument,
                "head=end2end needs input-width and input-height, the size of the model's input");
  return {};
}

Result<Verdict> TensorPostprocYolo::process(Frame& frame) {
  auto sample = own_sample(frame, size_t(tensor_), 3);
  if (!sample) return forward_error(sample);
  const Shape& shape = sample->shape;
  if (shape.rank() != 3 || (rows_ >= 0 && shape[1] != rows_) || (columns_ >= 0 && shape[2] != columns_))
    return fail(ErrorCode::corrupt, "the output is {}, but 1x{}x{} was agreed", shape.to_string(), rows_,
                columns_);
  const int64_t cells = head_ == Head::v8 ? shape[2] : shape[1],
                channels = head_ == Head::v8 ? shape[1] : shape[2];
  if (cells == 0) return Verdict::pass;

  int64_t classes = 0;
  if (head_ == Head::end2end) {
    size_ = {params_.input_width, params_.input_height};
    if (channels < 6)
      return fail(ErrorCode::corrupt, "the output is {}, but rows need 6 columns", shape.to_string());
  } else {
    if (auto found = find_size(cells); !found) return forward_error(found);
    const int64_t scores = channels - (head_ == Head::v8 ? 4 : 5);
    classes = classes_ > 0 ? classes_ : scores;
    if (classes < 1 || classes > scores)
      return fail(ErrorCode::corrupt, "the output is {}, too small for {} classes", shape.to_string(),
                  classes);
  }

  auto values = read_values(*sample, scratch_);
  if (!values) return forward_error(values);
  candidates_.clear();
  const float threshold = float(params_.threshold);
  switch (head_) {
    case Head::x:
      decode_yolox(values->data, channels, classes, size_, with_p6_, threshold, candidates_);
      break;
    case Head::v8:
      decode_yolov8(values->data, cells, classes, threshold, candidates_);
      break;
    default:
      decode_end2end(values->data, channels, threshold, candidates_);
      break;
  }
  const bool suppress = params_.nms && head_ != Head::end2end;
  const auto kept =
      suppression_.run(candidates_, {.iou_threshold = suppress ? float(params_.iou_threshold) : 1.0f,
                                     .per_class = params_.nms_per_class,
                                     .max_objects = params_.max_objects});
  add_regions(kept, {1.0f / float(size_.width), 1.0f / float(size_.height)}, labels_, model_, frame);
  return Verdict::pass;
}

namespace {

const Registration registration([] {
  using P = TensorPostprocYolo::Params;
  return ElementDesc{
      .name = "tensor_postproc_yolo",
      .title = "YOLO objects from tensors",
      .klass = "Filter/Analyzer",
      .doc =
          "Turns the outputs of YOLO networks into objects: YOLOX, YOLOv8 to v11, and the end-to-end heads "
          "of v10 and v26.",
      .kind = ElementKind::transform_inplace,
      .input = any_tensors(),
      .params = ParamTable::of<P>({
          param("labels", &P::labels, "class names, or a file with one on each line"),
          param("labels-file", &P::labels_file, "file with a class name on each line"),
          param("version", &P::version, "generation of the network: 8, 9, 10, 11, 26; 0: found")
              .range(0, 100),
          param("threshold", &P::threshold, "least score that is kept").range(0, 1).live(),
          param("anchors", &P::anchors,
                "widths and heights of the anchors in pixels (anchor heads: not supported yet)"),
          param("masks", &P::masks, "anchors of each layer (anchor heads: not supported yet)"),
          param("iou-threshold", &P::iou_threshold, "overlap above which the weaker box goes")
              .range(0, 1)
              .live(),
          param("do-cls-softmax", &P::do_cls_softmax,
                "apply softmax to class scores; of anchor heads, others never need it"),
          param("output-sigmoid-activation", &P::output_sigmoid_activation,
                "apply sigmoid to centre and objectness; of anchor heads, others never need it"),
          param("cells-number", &P::cells_number,
                "cells along both sides of the smallest layer (anchor heads); 0: found")
              .range(0, 1e6),
          param("cells-number-x", &P::cells_number_x, "the same across (anchor heads); 0: found")
              .range(0, 1e6),
          param("cells-number-y", &P::cells_number_y, "the same down (anchor heads); 0: found").range(0, 1e6),
          param("bbox-number-on-cell", &P::bbox_number_on_cell, "boxes of each cell (anchor heads); 0: found")
              .range(0, 1e6),
          param("classes", &P::classes, "number of classes; 0: as many as labels, or as the output has")
              .range(0, 1e6),
          param("nms", &P::nms, "drop boxes that a better one overlaps"),
          param("head", &P::head, "kind of output; auto: by version or shape")
              .choices({"auto", "anchor", "x", "v8", "end2end"}),
          param("task", &P::task, "what is read of each object")
              .choices({"auto", "box", "obb", "pose", "seg"}),
          param("nms-per-class", &P::nms_per_class, "only boxes of one class drop each other"),
          param("max-objects", &P::max_objects, "most objects of a frame, the best")
              .range(1, max_frame_objects),
          param("keypoints", &P::keypoints,
                "points of each object between objectness and classes (not supported yet)"),
          param("input-width", &P::input_width, "width of the model input; 0: found where it is square")
              .in("px"),
          param("input-height", &P::input_height, "height of the model input; 0: found where it is square")
              .in("px"),
      }),
      .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
        return std::make_unique<TensorPostprocYolo>(params.as<P>());
      },
  };
}());

}  // namespace
}  // namespace sightglass
