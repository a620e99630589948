#include "sightglass/elements/tensor_postproc_yolo/tensor_postproc_yolo.h"

#include <algorithm>
#include <format>
#include <numeric>

#include "sightglass/core/registry.h"

namespace sightglass {
namespace {

// The joints of COCO, which nearly all pose networks have.
Ref<const Legend> body_of_17() {
  auto legend = make_ref<Legend>();
  legend->names = {"nose",          "left_eye",       "right_eye",  "left_ear",    "right_ear",
                   "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist",
                   "right_wrist",   "left_hip",       "right_hip",  "left_knee",   "right_knee",
                   "left_ankle",    "right_ankle"};
  legend->links = {{15, 13}, {13, 11}, {16, 14}, {14, 12}, {11, 12}, {5, 11}, {6, 12}, {5, 6}, {5, 7}, {6, 8},
                   {7, 9},   {8, 10},  {1, 2},   {0, 1},   {0, 2},   {1, 3},  {2, 4},  {3, 5}, {4, 6}};
  return legend;
}

}  // namespace

Status TensorPostprocYolo::start() {
  const Params& p = params_;
  static constexpr int versions[] = {0, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 26};
  if (std::ranges::find(versions, p.version) == std::end(versions))
    return fail(
        ErrorCode::unsupported,
        "version={} is not supported; these are: 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 26, and 0 to find the "
        "head by shape",
        p.version);
  auto labels = load_labels(p.labels, p.labels_file);
  if (!labels) return forward_error(labels);
  if (p.classes > 0 && labels->size() > size_t(p.classes))
    return fail(ErrorCode::invalid_argument, "{} labels for classes={}", labels->size(), p.classes);
  labels_ = std::move(*labels);
  const auto side = [&](int own) { return own > 0 ? own : p.cells_number; };
  request_ = {.head = p.head,
              .task = p.task,
              .version = p.version,
              .classes = p.classes > 0 ? p.classes : int64_t(labels_.size()),
              .keypoints = p.keypoints,
              .boxes = p.bbox_number_on_cell,
              .cells = {side(p.cells_number_x), side(p.cells_number_y)},
              .input = {p.input_width, p.input_height}};
  return {};
}

void TensorPostprocYolo::update(const ParamSet& params) {
  params_.threshold = params.as<Params>().threshold;
  params_.iou_threshold = params.as<Params>().iou_threshold;
}

Status TensorPostprocYolo::find_size(int64_t boxes) {
  if (boxes == boxes_) return {};
  const InputSize given = request_.input;
  const YoloHead head = layout_.head;
  with_p6_ = false;
  if (given.width > 0 && given.height > 0) {
    size_ = given;
    with_p6_ = cell_count(given) != boxes && cell_count(given, true) == boxes;
    if (head == YoloHead::x && cell_count(given, with_p6_) != boxes)
      return fail(ErrorCode::invalid_argument,
                  "input-width={} and input-height={} make {} cells, but the output has {}", given.width,
                  given.height, cell_count(given), boxes);
  } else if (head == YoloHead::end2end) {  // the number of its rows has nothing to do with the input
    return fail(ErrorCode::invalid_argument,
                "head=end2end needs input-width and input-height, the size of the model's input");
  } else {
    const int64_t each = head == YoloHead::anchor ? layout_.boxes : 1;
    const auto square = boxes % each == 0 ? square_input(boxes / each) : std::nullopt;
    if (!square)
      return fail(ErrorCode::invalid_argument,
                  "{} boxes do not tell the size of the model input; set input-width and input-height",
                  boxes);
    size_ = *square;
  }
  boxes_ = boxes;
  return {};
}

// The anchors of all layers one behind the other; pairs by rising size are dealt out from the last.
Status TensorPostprocYolo::set_anchors() {
  const size_t layers = layout_.grids.size(), boxes = size_t(layout_.boxes);
  std::vector<float> all(params_.anchors.begin(), params_.anchors.end());
  if (all.empty()) {
    const auto usual = default_anchors(layout_.version, layers);
    all.assign(usual.begin(), usual.end());
  }
  std::vector<int64_t> masks = params_.masks;
  if (masks.empty()) {
    if (all.size() != 2 * boxes * layers)
      return fail(ErrorCode::invalid_argument,
                  "{} anchors (pairs) for {} outputs with {} boxes per cell; anchors, masks and "
                  "bbox-number-on-cell have to fit",
                  all.size() / 2, layers, boxes);
    for (size_t layer = 0; layer < layers; ++layer)
      for (size_t i = 0; i < boxes; ++i) masks.push_back(int64_t((layers - 1 - layer) * boxes + i));
  }
  if (masks.size() != boxes * layers)
    return fail(ErrorCode::invalid_argument, "{} masks for {} outputs with {} boxes per cell", masks.size(),
                layers, boxes);
  anchors_.clear();
  for (const int64_t mask : masks) {
    if (mask < 0 || size_t(2 * mask + 1) >= all.size())
      return fail(ErrorCode::invalid_argument, "masks: there is no anchor {}, only {}", mask, all.size() / 2);
    anchors_.push_back(all[size_t(2 * mask)]);
    anchors_.push_back(all[size_t(2 * mask + 1)]);
  }
  return {};
}

Status TensorPostprocYolo::configure(const Format& input, const Format&) {
  auto outputs = outputs_of(input);
  if (!outputs) return forward_error(outputs);
  model_ = Label((*outputs)->model);
  auto layout = find_layout(**outputs, request_);
  if (!layout) return forward_error(layout);
  layout_ = std::move(*layout);
  boxes_ = numbers_ = -1;
  is_declined_ = false;
  layers_.clear();
  if (layout_.rows < 0) {
    if (auto set = set_anchors(); !set) return set;
    for (const int tensor : layout_.grids) layers_.emplace_back().tensor = tensor;
    for (Layer& layer : layers_) {
      Shape shape = (*outputs)->tensors[size_t(layer.tensor)].shape;
      if (shape.rank() > 2 && shape.fixed())
        if (auto grid = find_grid(layout_, request_, shape); !grid) return forward_error(grid);
    }
    legend_ = nullptr;
    return {};
  }
  agreed_ = (*outputs)->tensors[size_t(layout_.rows)].shape;
  const int64_t numbers = agreed_[layout_.columns_first ? 1 : 2],
                boxes = agreed_[layout_.columns_first ? 2 : 1];
  if (numbers >= 0) {
    auto entries = find_entries(layout_, request_, numbers);
    if (!entries) return fail(entries.error().code, "{}: {}", to_string(**outputs), entries.error().message);
    entries_ = *entries, numbers_ = numbers;
  }
  const int64_t points = entries_.points > 0 ? entries_.points : request_.keypoints;
  legend_ = layout_.task == YoloTask::pose && points == 17 ? body_of_17() : Ref<const Legend>();
  return boxes >= 0 || layout_.head == YoloHead::end2end ? find_size(boxes) : Status();
}

// Sizes and strides of the grids of this frame.
Status TensorPostprocYolo::fit_layers(const Frame& frame) {
  bool same = true;
  for (Layer& layer : layers_) {
    if (size_t(layer.tensor) >= frame.tensors.size())
      return fail(ErrorCode::corrupt, "the frame has {} tensors, output {} is missing", frame.tensors.size(),
                  layer.tensor + 1);
    same = same && frame.tensors[size_t(layer.tensor)].shape == layer.shape;
  }
  if (same) return {};
  if (auto set = set_anchors(); !set) return set;
  for (Layer& layer : layers_) {
    Shape one = layer.shape = frame.tensors[size_t(layer.tensor)].shape;
    one[0] = 1;
    auto grid = find_grid(layout_, request_, one);
    if (!grid) return forward_error(grid);
    layer.grid = *grid;
  }
  // The finest grid last, whatever order the outputs have.
  std::ranges::sort(layers_, {}, [](const Layer& layer) { return layer.grid.width * layer.grid.height; });
  const AnchorGrid& smallest = layers_[0].grid;
  const int64_t coarsest = layers_.size() == 4 ? 64 : 32;
  size_ = request_.input.width > 0 && request_.input.height > 0
              ? request_.input
              : InputSize{smallest.width * coarsest, smallest.height * coarsest};
  // Those of v2 are usually given in cells, of which no object has many more than there are.
  const float largest = std::ranges::max(anchors_);
  const bool in_cells =
      layout_.version == 2 && largest <= 2 * float(std::max(smallest.width, smallest.height));
  uint32_t first = 0;
  size_t anchor = 0;
  for (Layer& layer : layers_) {
    const size_t count = size_t(2 * layer.grid.boxes);
    if (anchor + count > anchors_.size())
      return fail(ErrorCode::invalid_argument, "{} anchors are too few for {} boxes per cell",
                  anchors_.size() / 2, layer.grid.boxes);
    layer.rules = {.squared_sizes = layout_.version == 5 || layout_.version == 7,
                   .softmax = params_.do_cls_softmax,
                   .sigmoid = params_.output_sigmoid_activation,
                   .points = request_.keypoints,
                   .stride_x = float(size_.width) / float(layer.grid.width),
                   .stride_y = float(size_.height) / float(layer.grid.height),
                   .anchors = std::span<const float>(anchors_).subspan(anchor, count)};
    if (in_cells)
      for (size_t i = anchor; i < anchor + count; ++i)
        anchors_[i] *= i % 2 == 0 ? layer.rules.stride_x : layer.rules.stride_y;
    layer.first_source = first;
    first += uint32_t(layer.grid.cells());
    anchor += count;
  }
  return {};
}

Status TensorPostprocYolo::find_outputs(const Frame& frame) {
  outputs_.clear();
  if (layout_.rows < 0) {
    if (auto fits = fit_layers(frame); !fits) return fits;
    for (const Layer& layer : layers_) {
      auto sample = own_sample(frame, size_t(layer.tensor));
      if (!sample) return forward_error(sample);
      if (sample->shape.elements() != layer.grid.cells() * layer.grid.entries)
        return fail(ErrorCode::corrupt, "the output is {}, which is no grid of boxes",
                    layer.shape.to_string());
      outputs_.push_back(*std::move(sample));
    }
    return {};
  }
  auto sample = own_sample(frame, size_t(layout_.rows), 3);
  if (!sample) return forward_error(sample);
  const Shape& shape = sample->shape;
  const auto differs = [&](size_t axis) { return agreed_[axis] >= 0 && shape[axis] != agreed_[axis]; };
  if (shape.rank() != 3 || differs(1) || differs(2))
    return fail(ErrorCode::corrupt, "the output is {}, but {} was agreed", shape.to_string(),
                agreed_.to_string());
  const int64_t boxes = shape[layout_.columns_first ? 2 : 1], numbers = shape[layout_.columns_first ? 1 : 2];
  if (boxes == 0) return {};
  if (numbers != numbers_) {
    auto entries = find_entries(layout_, request_, numbers);
    if (!entries)
      return fail(ErrorCode::corrupt, "the output is {}: {}", shape.to_string(), entries.error().message);
    entries_ = *entries, numbers_ = numbers;
  }
  if (auto found = find_size(boxes); !found) return found;
  rows_ = {.boxes = boxes,
           .numbers = numbers,
           .box_step = layout_.columns_first ? 1 : numbers,
           .entry_step = layout_.columns_first ? boxes : 1,
           .size = size_,
           .with_p6 = with_p6_};
  outputs_.push_back(*std::move(sample));
  return {};
}

Status TensorPostprocYolo::find_objects(const Frame& frame) {
  candidates_.clear();
  kept_ = {};
  if (auto found = find_outputs(frame); !found || outputs_.empty()) return found;
  auto on_device = find_on_device();
  if (!on_device) return forward_error(on_device);
  is_on_device_ = *on_device;
  if (is_on_device_) {
    kept_ = device_.boxes();
    return {};
  }
  if (auto read = layout_.rows >= 0 ? read_rows() : read_grids(); !read) return read;
  if (!candidates_.empty()) kept_ = suppression_.run(candidates_, suppression_options());
  return {};
}

SuppressionOptions TensorPostprocYolo::suppression_options() const {
  const bool suppress = params_.nms && layout_.head != YoloHead::end2end;
  return {.iou_threshold = suppress ? float(params_.iou_threshold) : 1.0f,
          .per_class = params_.nms_per_class,
          .oriented = layout_.rows >= 0 && entries_.angle >= 0,
          .max_objects = params_.max_objects};
}

Result<bool> TensorPostprocYolo::find_on_device() {
  if (is_declined_) return false;
  auto there = device_.find(outputs_);
  if (auto warning = device_.take_warning(); !warning.empty()) warnings_.push_back(std::move(warning));
  if (!there || !*there) return there;
  const float threshold = float(params_.threshold);
  std::optional<cuda::BoxTask> task;
  if (layout_.rows >= 0) {
    task = rows_task(layout_, entries_, rows_, threshold, device_);
  } else {
    task = grids_task(layers_[0].grid, layers_[0].rules, threshold);
    for (size_t i = 0; task && i < layers_.size(); ++i)
      if (!add_grid(*task, i, layers_[i].grid, layers_[i].rules, layers_[i].first_source, device_)) task = {};
  }
  if (!task) {
    is_declined_ = true;  // not asked for any more, so that the outputs come to the CPU with their batch
    return false;
  }
  if (auto done = device_.run(*task, suppression_options()); !done) return forward_error(done);
  return true;
}

Status TensorPostprocYolo::read_grids() {
  for (size_t i = 0; i < layers_.size(); ++i) {
    Layer& layer = layers_[i];
    auto values = read_values(outputs_[i], layer.scratch);
    if (!values) return forward_error(values);
    layer.values = std::move(*values);
    decode_grid(layer.values.data, layer.grid, layer.rules, float(params_.threshold), layer.first_source,
                candidates_);
  }
  return {};
}

Status TensorPostprocYolo::read_rows() {
  auto values = read_values(outputs_[0], scratch_);
  if (!values) return forward_error(values);
  values_ = std::move(*values);
  const float threshold = float(params_.threshold);
  const int64_t numbers = rows_.numbers;
  switch (layout_.head) {
    case YoloHead::x:
      decode_yolox(values_.data, numbers, entries_.classes, size_, with_p6_, threshold, candidates_);
      break;
    case YoloHead::v8:
      if (layout_.columns_first)
        decode_yolov8(values_.data, rows_.boxes, entries_.classes, threshold, candidates_);
      else
        decode_rows(values_.data, numbers, 4, entries_.classes, threshold, candidates_);
      break;
    case YoloHead::end2end:
      decode_end2end(values_.data, numbers, entries_.angle >= 0, threshold, candidates_);
      break;
    default:
      decode_rows(values_.data, numbers, entries_.first_class, entries_.classes, threshold, candidates_);
      break;
  }
  if (entries_.angle >= 0) {
    for (Candidate& candidate : candidates_)
      candidate.angle =
          values_.data[size_t(candidate.source * rows_.box_step + entries_.angle * rows_.entry_step)];
    std::erase_if(candidates_, [](const Candidate& candidate) { return !candidate.valid(); });
  }
  return {};
}

std::span<const float> TensorPostprocYolo::numbers_of(size_t object, int64_t first, int64_t count) {
  const bool is_row = layout_.rows >= 0;
  if (is_on_device_)
    return device_.extra(object).subspan(size_t(first - (is_row ? extras_of(layout_, entries_).first : 5)),
                                         size_t(count));
  const uint32_t source = kept_[object].source;
  const float* at = nullptr;
  int64_t step = rows_.entry_step;
  if (is_row) {
    at = &values_.data[size_t(source * rows_.box_step + first * step)];
  } else {
    const Layer& layer = layer_of(source);
    step = layer.grid.entry_step;
    at = &layer.values.data[size_t(first_number(layer.grid, source - layer.first_source) + first * step)];
  }
  numbers_scratch_.resize(size_t(count));
  for (float& number : numbers_scratch_) number = *at, at += step;
  return numbers_scratch_;
}

const TensorPostprocYolo::Layer& TensorPostprocYolo::layer_of(uint32_t source) const {
  return *std::ranges::find_if(
      layers_, [&](const Layer& l) { return source - l.first_source < uint32_t(l.grid.cells()); });
}

// x, y, score in 0..1 of the model input.
std::vector<float> TensorPostprocYolo::points_of(size_t object) {
  std::vector<float> triples;
  const float w = float(size_.width), h = float(size_.height);
  const Candidate& candidate = kept_[object];
  if (layout_.rows >= 0) {
    const size_t count = size_t(entries_.points), size = size_t(entries_.point_size);
    const auto numbers = numbers_of(object, entries_.first_point, entries_.points * entries_.point_size);
    triples.reserve(3 * count);
    for (size_t i = 0; i < count; ++i) {
      const float score = size == 3 ? numbers[i * size + 2] : candidate.score;
      triples.insert(triples.end(), {numbers[i * size] / w, numbers[i * size + 1] / h, score});
    }
    return triples;
  }
  const Layer& layer = layer_of(candidate.source);
  std::vector<float> pairs(2 * params_.keypoints);
  grid_points(numbers_of(object, 5, int64_t(pairs.size())), layer.grid, layer.rules,
              candidate.source - layer.first_source, pairs);
  for (size_t i = 0; i < pairs.size(); i += 2)
    triples.insert(triples.end(), {pairs[i] / w, pairs[i + 1] / h, candidate.score});
  return triples;
}

Status TensorPostprocYolo::add_details(const Frame& frame, std::span<Region> regions) {
  if (layout_.rows < 0 ? request_.keypoints > 0 : entries_.points > 0) {
    static const Label name("keypoints");
    for (size_t i = 0; i < kept_.size(); ++i) add_keypoints(regions[i], name, points_of(i), legend_);
  }
  if (layout_.rows < 0 || entries_.first_weight < 0 || kept_.empty()) return {};

  auto sample = own_sample(frame, size_t(layout_.prototypes), 4);
  if (!sample) return forward_error(sample);
  auto values = read_values(*sample, prototype_scratch_);
  if (!values) return forward_error(values);
  const Shape& shape = sample->shape;
  if (shape.rank() != 4 || shape[1] != layout_.mask_weights)
    return fail(ErrorCode::corrupt, "the prototypes of masks are {}, but {} of them were agreed",
                shape.to_string(), layout_.mask_weights);
  const Prototypes prototypes{values->data, shape[1], shape[2], shape[3]};
  size_t cells = 0;
  for (const Region& region : regions) {
    const CellRange range = prototypes.cells(region.box);
    cells += size_t(range.width() * range.height());
  }
  if (auto ready = mask_memory_.begin(cells); !ready) return ready;
  for (size_t i = 0; i < kept_.size(); ++i) {
    const CellRange range = prototypes.cells(regions[i].box);
    if (range.width() == 0) continue;
    const MaskMemory::Mask mask = mask_memory_.take(range.height(), range.width());
    prototypes.mix(numbers_of(i, entries_.first_weight, layout_.mask_weights), regions[i].box, range,
                   mask.at);
    add_mask(regions[i], mask.tensor, prototypes.covers(range));
  }
  return {};
}

void TensorPostprocYolo::unmap() {
  values_ = {};
  for (Layer& layer : layers_) layer.values = {};
  outputs_.clear();
}

Result<Verdict> TensorPostprocYolo::process(Frame& frame) {
  struct Unmap {  // when the frame is done, the engine may reuse its memory
    TensorPostprocYolo& self;
    ~Unmap() { self.unmap(); }
  } unmap_at_end{*this};
  if (auto found = find_objects(frame); !found) return forward_error(found);
  if (kept_.empty()) return Verdict::pass;
  const size_t before = frame.regions.size();
  add_regions(kept_, {1.0f / float(size_.width), 1.0f / float(size_.height)}, labels_, model_, frame);
  if (auto added = add_details(frame, std::span(frame.regions).subspan(before)); !added)
    return forward_error(added);
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
          "Turns the outputs of YOLO networks into objects: v2 to v5 and v7 with anchors, YOLOX, v8 to v12, "
          "and the end-to-end heads of v10 and v26; boxes, oriented boxes, keypoints and masks. Outputs on "
          "an "
          "NVIDIA GPU are read there.",
      .kind = ElementKind::transform_inplace,
      .input = any_tensors(),
      .params = ParamTable::of<P>({
          param("labels", &P::labels, "class names, or a file with one on each line"),
          param("labels-file", &P::labels_file, "file with a class name on each line"),
          param("version", &P::version, "generation of the network: 2 to 5, 7 to 12, 26; 0: found")
              .range(0, 100),
          param("threshold", &P::threshold, "least score that is kept").range(0, 1).live(),
          param("anchors", &P::anchors,
                "widths and heights of the anchors in pixels of the model input (v2: or in cells); empty: "
                "those that the generation was published with"),
          param("masks", &P::masks,
                "anchors of each layer, that with the fewest cells first; empty: the largest for it, and so "
                "on"),
          param("iou-threshold", &P::iou_threshold, "overlap above which the weaker box goes")
              .range(0, 1)
              .live(),
          param("do-cls-softmax", &P::do_cls_softmax,
                "softmax over the class scores of grids with anchors; false: each by itself"),
          param("output-sigmoid-activation", &P::output_sigmoid_activation,
                "grids with anchors hold logits; false: centre and scores are 0..1 already"),
          param("cells-number", &P::cells_number,
                "cells along both sides of the smallest layer (anchor heads); 0: found")
              .range(0, 1e4),
          param("cells-number-x", &P::cells_number_x, "the same across (anchor heads); 0: found")
              .range(0, 1e4),
          param("cells-number-y", &P::cells_number_y, "the same down (anchor heads); 0: found").range(0, 1e4),
          param("bbox-number-on-cell", &P::bbox_number_on_cell,
                "boxes of each cell (anchor heads); 0: 3, of version 2 5")
              .range(0, 1e3),
          param("classes", &P::classes, "number of classes; 0: as many as labels, or as the output has")
              .range(0, 1e6),
          param("nms", &P::nms, "drop boxes that a better one overlaps"),
          param("head", &P::head, "kind of output; auto: by version or shape")
              .choices({"auto", "anchor", "x", "v8", "end2end"}),
          param("task", &P::task, "what is read of each object; auto: masks where there are any, else boxes")
              .choices({"auto", "box", "obb", "pose", "seg"}),
          param("nms-per-class", &P::nms_per_class, "only boxes of one class drop each other"),
          param("max-objects", &P::max_objects, "most objects of a frame, the best")
              .range(1, max_frame_objects),
          param("keypoints", &P::keypoints,
                "points of each object: of anchor heads pairs between objectness and classes, of task=pose "
                "behind the classes; 0: none, or found")
              .range(0, 1000),
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
