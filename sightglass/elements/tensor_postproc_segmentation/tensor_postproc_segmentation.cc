#include "sightglass/elements/tensor_postproc_segmentation/tensor_postproc_segmentation.h"

#include <algorithm>
#include <cmath>

#include "sightglass/core/registry.h"

namespace sightglass {
namespace {

constexpr uint8_t no_class = 255;
constexpr float least_mask = 0.5f;    // of a cell that belongs to an object
constexpr double much_smaller = 0.9;  // a box is turned when that leaves less than this share of its area

bool is_integer(DataType type) {
  return type != DataType::f32 && type != DataType::f16 && type != DataType::bf16 && type != DataType::f64;
}

}  // namespace

Status TensorPostprocSegmentation::start() {
  auto labels = load_labels(params_.labels, params_.labels_file, params_.layer_name);
  if (!labels) return forward_error(labels);
  labels_ = std::move(*labels);
  if (!labels_.empty()) {
    auto legend = make_ref<Legend>();
    for (size_t i = 0; i < labels_.size(); ++i) legend->names.emplace_back(labels_[int64_t(i)].view());
    legend_ = legend;
  }
  return {};
}

void TensorPostprocSegmentation::update(const ParamSet& params) {
  params_.threshold = params.as<Params>().threshold;
  params_.box_threshold = params.as<Params>().box_threshold;
}

// [h,w], [1,h,w], [1,C,h,w] or [1,h,w,C], the batch being the first axis of those of three and four.
Status TensorPostprocSegmentation::find_axes(const TensorsInfo& outputs) {
  const TensorInfo& map = outputs.tensors[tensor_];
  const Shape& shape = map.shape;
  if (shape.rank() < 2 || shape.rank() > 4 || !shape.fixed() || shape.elements() <= 0)
    return fail(ErrorCode::not_negotiated, "a map [1,C,h,w] or [1,h,w] is needed, but the outputs are {}",
                to_string(outputs));
  channels_ = 1;
  channels_last_ = false;
  const size_t last = shape.rank() - 1;
  height_ = shape[last - 1], width_ = shape[last];
  if (shape.rank() < 4) return {};
  // There are fewer classes than cells to a side.
  channels_last_ = map.layout == Layout::nhwc ||
                   (map.layout != Layout::nchw && shape[3] < shape[1] && shape[3] < shape[2]);
  if (channels_last_) height_ = shape[1], width_ = shape[2];
  channels_ = channels_last_ ? shape[3] : shape[1];
  return {};
}

Status TensorPostprocSegmentation::configure(const Format& input, const Format&) {
  auto outputs = outputs_of(input);
  if (!outputs) return forward_error(outputs);
  const auto& tensors = (*outputs)->tensors;
  model_ = Label((*outputs)->model);
  mode_ = params_.mode;
  if (mode_ == Mode::automatic)
    mode_ = tensors.size() > 1 && params_.layer_name.empty() ? Mode::instance : Mode::semantic;
  scores_ = classes_ = -1;
  if (mode_ == Mode::instance && params_.layer_name.empty()) {
    tensor_ =
        size_t(std::ranges::max_element(tensors, {}, [](const TensorInfo& t) { return t.shape.elements(); }) -
               tensors.begin());
  } else {
    auto found = find_output(**outputs, params_.layer_name);
    if (!found) return forward_error(found);
    tensor_ = size_t(*found);
  }
  if (auto status = find_axes(**outputs); !status) return status;

  const TensorInfo& map = tensors[tensor_];
  ids_ = is_integer(map.type) && channels_ == 1;
  if (mode_ == Mode::instance) {
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (i == tensor_ || tensors[i].shape.elements() != channels_ * std::max<int64_t>(1, map.shape[0]))
        continue;
      (is_integer(tensors[i].type) ? classes_ : scores_) = int(i);
    }
    if (map.shape.rank() != 4 || channels_last_)
      return fail(ErrorCode::not_negotiated, "masks of objects [1,N,h,w] are needed, but the outputs are {}",
                  to_string(**outputs));
  } else if (mode_ == Mode::boxes && (channels_ != 1 || ids_)) {
    return fail(ErrorCode::not_negotiated, "mode=boxes needs one map of scores, but the outputs are {}",
                to_string(**outputs));
  } else if (mode_ == Mode::semantic && channels_ >= no_class) {
    return fail(ErrorCode::unsupported, "{} classes are too many, at most {}: {}", channels_, no_class,
                to_string(**outputs));
  } else if (mode_ == Mode::semantic && channels_ > 1 && int64_t(labels_.size()) > channels_) {
    return fail(ErrorCode::invalid_argument, "{} labels, but the output {} has only {} classes",
                labels_.size(), to_string(**outputs), channels_);
  }
  return {};
}

// The best class of each cell; of equal ones the first. What is not a number never is the best.
Status TensorPostprocSegmentation::class_map(std::span<const float> values, Frame& frame) {
  const size_t cells = size_t(height_ * width_);
  if (!pool_ || pool_->block_size() != cells)
    pool_ = make_ref<SystemMemoryPool>(SystemMemoryPool::Options{.block_size = cells});
  auto block = pool_->acquire_block();
  if (!block) return forward_error(block);
  const std::span<uint8_t> ids(reinterpret_cast<uint8_t*>((*block)->data()), cells);
  std::ranges::fill(ids, no_class);
  if (ids_) {
    for (size_t i = 0; i < cells; ++i)
      if (values[i] >= 0 && values[i] < no_class) ids[i] = uint8_t(values[i]);
  } else if (channels_last_) {
    const float* cell = values.data();
    for (size_t i = 0; i < cells; ++i, cell += channels_) {
      float best = -std::numeric_limits<float>::infinity();
      for (int64_t c = 0; c < channels_; ++c)
        if (cell[c] > best) best = cell[c], ids[i] = uint8_t(c);
    }
  } else {
    best_.assign(cells, -std::numeric_limits<float>::infinity());
    for (int64_t c = 0; c < channels_; ++c) {
      const float* map = values.data() + size_t(c) * cells;
      for (size_t i = 0; i < cells; ++i) {
        const bool better = map[i] > best_[i];
        best_[i] = better ? map[i] : best_[i];
        ids[i] = better ? uint8_t(c) : ids[i];
      }
    }
  }
  static const Label name("mask");
  Attribute attribute{.name = name, .kind = AttributeKind::mask, .confidence = 1, .model = model_};
  attribute.tensor =
      tensor_in(*block, {.type = DataType::u8, .shape = {height_, width_}, .layout = Layout::hw});
  attribute.legend = legend_;
  frame.attributes = with(frame.attributes, std::move(attribute));
  return {};
}

Status TensorPostprocSegmentation::soft_mask(std::span<const float> values, Frame& frame) {
  if (auto status = masks_.begin(values.size()); !status) return status;
  const MaskMemory::Mask mask = masks_.take(height_, width_);
  for (size_t i = 0; i < mask.at.size(); ++i) mask.at[i] = values[i] >= 0 ? std::min(values[i], 1.f) : 0;
  static const Label name("mask");
  Attribute attribute{.name = name, .kind = AttributeKind::mask, .confidence = 1, .model = model_};
  attribute.label_id = labels_.empty() ? -1 : 0;
  attribute.text = labels_[0].view();
  attribute.tensor = mask.tensor;
  attribute.legend = legend_;
  frame.attributes = with(frame.attributes, std::move(attribute));
  return {};
}

Status TensorPostprocSegmentation::instances(std::span<const float> values, Frame& frame) {
  const auto numbers = [&](int index, std::vector<float>& into) -> Status {
    into.clear();
    if (index < 0) return {};
    auto sample = own_sample(frame, size_t(index));
    if (!sample) return forward_error(sample);
    auto read = read_values(*sample, best_);
    if (!read) return forward_error(read);
    into.assign(read->data.begin(), read->data.end());
    return {};
  };
  if (auto status = numbers(scores_, object_scores_); !status) return status;
  if (auto status = numbers(classes_, object_classes_); !status) return status;

  const size_t cells = size_t(height_ * width_);
  if (auto status = masks_.begin(values.size()); !status) return status;
  for (size_t n = 0; n < size_t(channels_) && n < max_frame_objects; ++n) {
    const float* map = values.data() + n * cells;
    if (n < object_scores_.size() && !(object_scores_[n] >= float(params_.threshold))) continue;
    CellRange range{width_, height_, 0, 0};
    double sum = 0;
    int64_t inside = 0;
    for (int64_t y = 0; y < height_; ++y)
      for (int64_t x = 0; x < width_; ++x)
        if (map[y * width_ + x] >= least_mask) {
          range = {std::min(range.x0, x), std::min(range.y0, y), std::max(range.x1, x + 1),
                   std::max(range.y1, y + 1)};
          sum += double(map[y * width_ + x]);
          ++inside;
        }
    const double score = n < object_scores_.size() ? double(object_scores_[n])
                         : inside                  ? sum / double(inside)
                                                   : 0;
    if (inside == 0 || !(score >= params_.threshold)) continue;
    Region region;
    region.box = {float(range.x0) / float(width_), float(range.y0) / float(height_),
                  float(range.width()) / float(width_), float(range.height()) / float(height_)};
    region.confidence = float(std::min(score, 1.0));
    const bool known = n < object_classes_.size() && object_classes_[n] >= 0 && object_classes_[n] < 1e9f;
    region.label_id = known ? int32_t(object_classes_[n]) : 0;
    region.label = labels_[region.label_id];
    region.model = model_;
    const MaskMemory::Mask mask = masks_.take(range.height(), range.width());
    for (int64_t y = 0; y < range.height(); ++y)
      for (int64_t x = 0; x < range.width(); ++x) {
        const float value = map[(range.y0 + y) * width_ + range.x0 + x];
        mask.at[size_t(y * range.width() + x)] = value >= 0 ? std::min(value, 1.f) : 0;
      }
    add_mask(region, mask.tensor, region.box);
    frame.regions.push_back(std::move(region));
  }
  return {};
}

void TensorPostprocSegmentation::boxes(std::span<const float> values, Frame& frame) {
  found_.clear();
  for (const Blob& blob : blobs_.run(values, width_, height_, float(params_.threshold))) {
    const bool turned = blob.box.area() < much_smaller * blob.upright.area();
    const TurnedBox& tight = turned ? blob.box : blob.upright;
    if (std::min(tight.w, tight.h) < params_.minimum_side || !(blob.score >= params_.box_threshold)) continue;
    const TurnedBox box = unclip(tight, params_.box_expand);
    Region& region = found_.emplace_back();
    const double w = double(width_), h = double(height_);
    region.box = {float((box.x - box.w / 2) / w), float((box.y - box.h / 2) / h), float(box.w / w),
                  float(box.h / h)};
    region.angle = float(box.angle);
    region.confidence = float(std::min(blob.score, 1.0));
    region.label = labels_[0];
    region.label_id = 0;
    region.model = model_;
  }
  if (found_.size() > max_frame_objects) {
    std::ranges::nth_element(found_, found_.begin() + max_frame_objects, std::greater(), &Region::confidence);
    found_.resize(max_frame_objects);
  }
  std::ranges::move(found_, std::back_inserter(frame.regions));
}

Result<Verdict> TensorPostprocSegmentation::process(Frame& frame) {
  auto sample = own_sample(frame, tensor_, 3);
  if (!sample) return forward_error(sample);
  auto values = read_values(*sample, scratch_);
  if (!values) return forward_error(values);
  if (values->data.size() < size_t(channels_ * height_ * width_))
    return fail(ErrorCode::corrupt, "the map {} is smaller than was agreed", sample->shape.to_string());

  Status status;
  if (mode_ == Mode::boxes)
    boxes(values->data, frame);
  else if (mode_ == Mode::instance)
    status = instances(values->data, frame);
  else
    status = channels_ == 1 && !ids_ ? soft_mask(values->data, frame) : class_map(values->data, frame);
  if (!status) return forward_error(status);
  return Verdict::pass;
}

namespace {

const Registration registration([] {
  using P = TensorPostprocSegmentation::Params;
  return ElementDesc{
      .name = "tensor_postproc_segmentation",
      .title = "Masks from tensors",
      .klass = "Filter/Analyzer",
      .doc =
          "Turns the maps of a segmentation model into a mask of the frame or of the object that the frame "
          "was "
          "cut to, into objects with masks, or, for text detectors, into boxes around connected cells.",
      .kind = ElementKind::transform_inplace,
      .input = any_tensors(),
      .params = ParamTable::of<P>({
          param("labels", &P::labels, "class names, or a file with one on each line"),
          param("labels-file", &P::labels_file, "file with a class name on each line"),
          param("threshold", &P::threshold, "least score of a cell (boxes) or of an object (instance)")
              .range(0, 1)
              .live(),
          param("mode", &P::mode, "what becomes of the maps; auto: by the outputs")
              .choices({"auto", "semantic", "instance", "boxes"}),
          param("minimum-side", &P::minimum_side, "boxes with a shorter side, in cells, are left out (boxes)")
              .range(0, 1e6),
          param("box-expand", &P::box_expand,
                "boxes grow on each side by this times area over perimeter; 0: not at all (boxes)")
              .range(0, 10),
          param("box-threshold", &P::box_threshold, "least mean score of the cells of a box (boxes)")
              .range(0, 1)
              .live(),
          param("layer-name", &P::layer_name, "which output; empty: the only one, or the largest (instance)"),
      }),
      .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
        return std::make_unique<TensorPostprocSegmentation>(params.as<P>());
      },
  };
}());

}  // namespace
}  // namespace sightglass
