#include "sightglass/elements/tensor_postproc_detection/tensor_postproc_detection.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "sightglass/core/registry.h"

namespace sightglass {
namespace {

bool is_integer(DataType type) {
  return type != DataType::f16 && type != DataType::bf16 && type != DataType::f32 && type != DataType::f64;
}

bool name_has(const TensorInfo& tensor, std::initializer_list<std::string_view> words) {
  std::string name = tensor.name;
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  return std::ranges::any_of(words, [&](std::string_view word) { return name.find(word) != name.npos; });
}

// The box tensor: the only one, or the one whose name says so, or the one with the longest row that boxes can
// have.
int find_boxes(const TensorsInfo& outputs) {
  auto fits = [](const TensorInfo& tensor) {
    return tensor.shape.rank() >= 2 && tensor.shape.back() >= 4 && tensor.shape.back() <= 7;
  };
  const auto& tensors = outputs.tensors;
  if (tensors.size() == 1) return 0;
  int found = -1;
  for (int i = 0; i < int(tensors.size()); ++i) {
    const TensorInfo& tensor = tensors[size_t(i)];
    if (!fits(tensor) || is_integer(tensor.type)) continue;
    if (name_has(tensor, {"box", "dets"})) return i;
    if (found < 0 || tensor.shape.back() > tensors[size_t(found)].shape.back()) found = i;
  }
  return found;
}

// Whether `tensor` can hold something for each of the box tensor's rows.
bool has_rows_of(const TensorInfo& boxes, const TensorInfo& tensor) {
  const int64_t count = boxes.shape.elements(), other = tensor.shape.elements();
  if (tensor.shape.empty()) return false;
  return count < 0 || other < 0 ||
         (count >= 0 && other % std::max<int64_t>(1, count / boxes.shape.back()) == 0);
}

int find_labels(const TensorsInfo& outputs, int boxes) {
  int found = -1;
  for (int i = 0; i < int(outputs.tensors.size()); ++i) {
    const TensorInfo& tensor = outputs.tensors[size_t(i)];
    if (i == boxes || !has_rows_of(outputs.tensors[size_t(boxes)], tensor)) continue;
    if (name_has(tensor, {"label", "class"}) && !name_has(tensor, {"score"})) return i;
    if (found < 0 && is_integer(tensor.type)) found = i;
  }
  return found;
}

int find_confidences(const TensorsInfo& outputs, int boxes, int labels) {
  int found = -1;
  for (int i = 0; i < int(outputs.tensors.size()); ++i) {
    const TensorInfo& tensor = outputs.tensors[size_t(i)];
    if (i == boxes || i == labels || is_integer(tensor.type)) continue;
    if (!has_rows_of(outputs.tensors[size_t(boxes)], tensor)) continue;
    if (name_has(tensor, {"score", "conf", "prob"})) return i;
    if (found < 0) found = i;
  }
  return found;
}

}  // namespace

Status TensorPostprocDetection::start() {
  if (params_.mask_index >= 0)
    return fail(ErrorCode::unsupported, "mask-index={}: masks are not read by this version; leave it at -1",
                params_.mask_index);
  auto labels = load_labels(params_.labels, params_.labels_file);
  if (!labels) return forward_error(labels);
  labels_ = std::move(*labels);
  return {};
}

void TensorPostprocDetection::update(const ParamSet& params) {
  params_.threshold = params.as<Params>().threshold;
  params_.iou_threshold = params.as<Params>().iou_threshold;
}

Status TensorPostprocDetection::find_columns(const TensorsInfo& outputs) {
  const auto unknown = [&](std::string_view why) {
    return fail(
        ErrorCode::not_negotiated,
        "unknown layout of detections: {} ({}); known: […,7], […,6], […,5] with labels, boxes with scores; "
        "box-index, box-offset, confidence-index, confidence-offset, label-index and label-offset name "
        "others",
        to_string(outputs), why);
  };
  box_ = confidence_ = label_ = image_ = {};
  best_of_classes_ = false;
  box_.tensor = params_.box_index >= 0 ? params_.box_index : find_boxes(outputs);
  if (box_.tensor < 0) return unknown("no tensor has rows of boxes");
  if (box_.tensor >= int(outputs.tensors.size()))
    return fail(ErrorCode::invalid_argument, "box-index={}: there are only {}", box_.tensor,
                to_string(outputs));
  const Shape& shape = outputs.tensors[size_t(box_.tensor)].shape;
  if (shape.rank() < 2) return unknown("boxes need rows");

  const int self = box_.tensor;
  switch (params_.box_offset >= 0 ? 0 : shape.back()) {
    case 7:
      image_ = {self, 0}, label_ = {self, 1}, confidence_ = {self, 2}, box_.offset = 3;
      break;
    case 6:
      confidence_ = {self, 4}, label_ = {self, 5};
      break;
    case 5:
      confidence_ = {self, 4};
      [[fallthrough]];
    case 4:
      label_.tensor = find_labels(outputs, self);
      if (confidence_.tensor < 0) confidence_.tensor = find_confidences(outputs, self, label_.tensor);
      break;
    case 0:
      box_.offset = params_.box_offset;
      break;
    default:
      return unknown("box-offset is not set");
  }
  const auto override_with = [self](Column& column, int index, int offset) {
    if (index >= 0) column = {index, 0};
    if (offset >= 0) column = {column.tensor >= 0 ? column.tensor : self, offset};
  };
  override_with(confidence_, params_.confidence_index, params_.confidence_offset);
  override_with(label_, params_.label_index, params_.label_offset);
  override_with(image_, params_.imageid_index, params_.imageid_offset);
  if (confidence_.tensor < 0) return unknown("no tensor has scores");
  best_of_classes_ = label_.tensor < 0 && confidence_.tensor != self;
  batched_ = shape.rank() >= 3;

  Status checked = check_column(outputs, "box", box_, 4);
  if (checked) checked = check_column(outputs, "confidence", confidence_, 1);
  if (checked) checked = check_column(outputs, "label", label_, 1);
  if (checked) checked = check_column(outputs, "imageid", image_, 1);
  return checked;
}

Status TensorPostprocDetection::check_column(const TensorsInfo& outputs, const char* name,
                                             const Column& column, int width) const {
  if (column.tensor < 0) return {};
  if (column.tensor >= int(outputs.tensors.size()))
    return fail(ErrorCode::invalid_argument, "{}-index={}: there are only {}", name, column.tensor,
                to_string(outputs));
  // Other tensors may have a value per row without an axis of their own for it; what they have shows with the
  // first frame.
  const Shape& shape = outputs.tensors[size_t(column.tensor)].shape;
  if (column.tensor == box_.tensor && shape.back() >= 0 && column.offset + width > shape.back())
    return fail(ErrorCode::invalid_argument, "{}-offset={}: rows of {} have only {} columns", name,
                column.offset, shape.to_string(), shape.back());
  return {};
}

Status TensorPostprocDetection::configure(const Format& input, const Format&) {
  auto outputs = outputs_of(input);
  if (!outputs) return forward_error(outputs);
  model_ = Label((*outputs)->model);
  if (auto found = find_columns(**outputs); !found) return found;

  const bool size_known = params_.input_width > 0 && params_.input_height > 0;
  const int64_t columns = (*outputs)->tensors[size_t(box_.tensor)].shape.back();
  bool pixels = params_.box_units == BoxUnits::pixel;
  // SSD's rows and lone boxes are 0..1 by custom; those with their score behind them are pixels where we know
  // of how many.
  if (params_.box_units == BoxUnits::automatic) pixels = size_known && (columns == 5 || columns == 6);
  if (pixels && !size_known)
    return fail(ErrorCode::invalid_argument,
                "box-units=pixel needs input-width and input-height, the size of the model's input");
  scale_ =
      pixels ? BoxScale{1.0f / float(params_.input_width), 1.0f / float(params_.input_height)} : BoxScale{};
  return {};
}

Result<TensorPostprocDetection::Rows> TensorPostprocDetection::rows_of(const Frame& frame,
                                                                       const Column& column, size_t count,
                                                                       int width, size_t which) {
  // Other tensors have the same axis of samples, or none.
  const Shape& boxes = frame.tensors[size_t(box_.tensor)].shape;
  const bool batched = batched_ && size_t(column.tensor) < frame.tensors.size() &&
                       frame.tensors[size_t(column.tensor)].shape.rank() >= 2 &&
                       frame.tensors[size_t(column.tensor)].shape[0] == boxes[0];
  auto sample = own_sample(frame, size_t(column.tensor), batched ? 2 : Shape::max_rank + 1);
  if (!sample) return forward_error(sample);
  auto values = read_values(*sample, scratch_[which]);
  if (!values) return forward_error(values);
  const size_t stride = values->data.size() / count;
  if (values->data.size() % count != 0 || stride < size_t(column.offset + width))
    return fail(ErrorCode::corrupt, "{} boxes, but output {} is {}", count, column.tensor + 1,
                sample->shape.to_string());
  values_[which] = std::move(*values);
  return Rows{values_[which].data.data() + column.offset, stride};
}

Result<Verdict> TensorPostprocDetection::process(Frame& frame) {
  struct Unmap {  // when the frame is done, the engine may reuse its memory
    TensorPostprocDetection& self;
    ~Unmap() {
      for (auto& values : self.values_) values = {};
    }
  } unmap{*this};

  auto boxes = own_sample(frame, size_t(box_.tensor), 3);
  if (!boxes) return forward_error(boxes);
  if (boxes->shape.rank() < 2 || !boxes->shape.fixed() || boxes->shape.back() < 4)
    return fail(ErrorCode::corrupt, "output {} is {}, which are no rows of boxes", box_.tensor + 1,
                boxes->shape.to_string());
  const size_t count = size_t(boxes->shape.elements() / boxes->shape.back());
  if (count == 0) return Verdict::pass;

  Rows rows[4];
  const Column* const used[4] = {&box_, &confidence_, &label_, &image_};
  for (size_t which = 0; which < 4; ++which) {
    if (used[which]->tensor < 0) continue;
    auto found = rows_of(frame, *used[which], count, which == 0 ? 4 : 1, which);
    if (!found) return forward_error(found);
    rows[which] = *found;
  }
  const auto& [box, confidence, label, image] = rows;
  // A tensor for all samples tells them apart by image; one that was cut to our sample needs no telling.
  const bool cut = batched_ && frame.tensors[size_t(box_.tensor)].shape[0] > 1;
  const float own_image = float(frame.source ? frame.source->batch_index : 0);

  candidates_.clear();
  const float threshold = float(params_.threshold);
  const bool centred = params_.box_format == BoxFormat::cxcywh;
  for (size_t i = 0; i < count; ++i) {
    if (image.data) {
      const float id = image.data[i * image.stride];
      if (id < 0) break;
      if (!cut && id != own_image) continue;
    }
    const float* scores = confidence.data + i * confidence.stride;
    Candidate candidate;
    if (best_of_classes_ && confidence.stride > 1) {
      int32_t best = -1;
      for (int32_t c = 0; c < int32_t(confidence.stride); ++c)
        if (c != labels_.background() && (best < 0 || scores[c] > scores[best])) best = c;
      candidate.class_id = best;
      candidate.score = scores[best];
    } else {
      candidate.score = *scores;
      const float id = label.data ? label.data[i * label.stride] : 0;
      if (!(id >= 0 && id < 1e9f)) continue;
      candidate.class_id = int32_t(std::lround(id));
    }
    if (!(candidate.score >= threshold) || candidate.class_id == labels_.background()) continue;
    const float* b = box.data + i * box.stride;
    if (centred)
      candidate.x1 = b[0] - b[2] / 2, candidate.y1 = b[1] - b[3] / 2, candidate.x2 = b[0] + b[2] / 2,
      candidate.y2 = b[1] + b[3] / 2;
    else
      candidate.x1 = b[0], candidate.y1 = b[1], candidate.x2 = b[2], candidate.y2 = b[3];
    add_candidate(candidates_, candidate);
  }
  const float iou = params_.iou_threshold > 0 ? float(params_.iou_threshold) : 1.0f;
  add_regions(suppression_.run(candidates_, {.iou_threshold = iou}), scale_, labels_, model_, frame);
  return Verdict::pass;
}

namespace {

const Registration registration([] {
  using P = TensorPostprocDetection::Params;
  return ElementDesc{
      .name = "tensor_postproc_detection",
      .title = "Detections from tensors",
      .klass = "Filter/Analyzer",
      .doc =
          "Turns rows of boxes, scores and classes into objects: SSD […,7], […,6], […,5] with labels, boxes "
          "with scores.",
      .kind = ElementKind::transform_inplace,
      .input = any_tensors(),
      .params = ParamTable::of<P>({
          param("labels", &P::labels, "class names, or a file with one on each line"),
          param("labels-file", &P::labels_file, "file with a class name on each line"),
          param("threshold", &P::threshold, "least score that is kept").range(0, 1).live(),
          param("box-index", &P::box_index, "tensor with the boxes; -1: found").range(-1, 1e6),
          param("confidence-index", &P::confidence_index, "tensor with the scores; -1: found").range(-1, 1e6),
          param("label-index", &P::label_index, "tensor with the classes; -1: found").range(-1, 1e6),
          param("imageid-index", &P::imageid_index, "tensor with the place in the batch; -1: found")
              .range(-1, 1e6),
          param("mask-index", &P::mask_index, "tensor with the masks; -1: none").range(-1, 1e6),
          param("box-offset", &P::box_offset, "column of the boxes in their rows; -1: found").range(-1, 1e6),
          param("confidence-offset", &P::confidence_offset, "column of the scores; -1: found").range(-1, 1e6),
          param("label-offset", &P::label_offset, "column of the classes; -1: found").range(-1, 1e6),
          param("imageid-offset", &P::imageid_offset, "column of the place in the batch; -1: found")
              .range(-1, 1e6),
          param("iou-threshold", &P::iou_threshold,
                "overlap above which the weaker box of a class goes; 0: none goes")
              .range(0, 1)
              .live(),
          param("box-format", &P::box_format, "corners, or centre and size")
              .choices({"auto", "xyxy", "cxcywh"}),
          param("box-units", &P::box_units, "0..1, or pixels of the model input")
              .choices({"auto", "unit", "pixel"}),
          param("input-width", &P::input_width, "width of the model input; 0: unknown").in("px"),
          param("input-height", &P::input_height, "height of the model input; 0: unknown").in("px"),
      }),
      .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
        return std::make_unique<TensorPostprocDetection>(params.as<P>());
      },
  };
}());

}  // namespace
}  // namespace sightglass
