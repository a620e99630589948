#include "sightglass/elements/tensor_postproc_detection/tensor_postproc_detection.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "sightglass/core/registry.h"

namespace sightglass {
namespace {

constexpr int64_t most_mask_cells = 160;  // along a side; finer masks are thinned out

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

Status TensorPostprocDetection::start() {
  auto labels = load_labels(params_.labels, params_.labels_file);
  if (!labels) return forward_error(labels);
  labels_ = std::move(*labels);
  return {};
}

void TensorPostprocDetection::update(const ParamSet& params) {
  params_.threshold = params.as<Params>().threshold;
  params_.iou_threshold = params.as<Params>().iou_threshold;
}

Status TensorPostprocDetection::configure(const Format& input, const Format&) {
  auto outputs = outputs_of(input);
  if (!outputs) return forward_error(outputs);
  model_ = Label((*outputs)->model);
  const Params& p = params_;
  auto layout = find_detections(**outputs, {.box_index = p.box_index,
                                            .confidence_index = p.confidence_index,
                                            .label_index = p.label_index,
                                            .imageid_index = p.imageid_index,
                                            .mask_index = p.mask_index,
                                            .box_offset = p.box_offset,
                                            .confidence_offset = p.confidence_offset,
                                            .label_offset = p.label_offset,
                                            .imageid_offset = p.imageid_offset,
                                            .box_format = p.box_format,
                                            .box_units = p.box_units,
                                            .activation = p.activation,
                                            .mask_extent = p.mask_extent,
                                            .input_width = p.input_width,
                                            .input_height = p.input_height,
                                            .labels = int64_t(labels_.size()),
                                            .background = labels_.background()});
  if (!layout) return forward_error(layout);
  layout_ = *layout;
  scale_ = layout_.pixels ? BoxScale{1.0f / float(p.input_width), 1.0f / float(p.input_height)} : BoxScale{};
  return {};
}

Result<TensorPostprocDetection::Rows> TensorPostprocDetection::rows_of(const Frame& frame,
                                                                       const DetectionColumn& column,
                                                                       size_t count, int width,
                                                                       size_t which) {
  // Other tensors have the same axis of samples, or none.
  const Shape& boxes = frame.tensors[size_t(layout_.box.tensor)].shape;
  const bool batched = layout_.batched && size_t(column.tensor) < frame.tensors.size() &&
                       frame.tensors[size_t(column.tensor)].shape.rank() >= 2 &&
                       frame.tensors[size_t(column.tensor)].shape[0] == boxes[0];
  auto sample = own_sample(frame, size_t(column.tensor), batched ? 2 : Shape::max_rank + 1);
  if (!sample) return forward_error(sample);
  auto values = read_values(*sample, scratch_[which]);
  if (!values) return forward_error(values);
  const size_t stride = values->data.size() / count;
  if (values->data.size() % count != 0 || stride < size_t(column.offset) + size_t(width))
    return fail(ErrorCode::corrupt, "{} boxes, but output {} is {}", count, column.tensor + 1,
                sample->shape.to_string());
  values_[which] = std::move(*values);
  return Rows{values_[which].data.data() + column.offset, stride, stride - size_t(column.offset)};
}

bool TensorPostprocDetection::classify(const float* scores, size_t classes, Candidate& candidate) const {
  int64_t best = -1;
  for (int64_t c = 0; c < int64_t(classes); ++c)
    if (c != layout_.background && scores[c] == scores[c] && (best < 0 || scores[c] > scores[best])) best = c;
  if (best < 0) return false;
  candidate.class_id = int32_t(best);
  candidate.score = scores[best];
  if (layout_.activation == ScoreActivation::softmax) {
    float sum = 0;
    for (size_t c = 0; c < classes; ++c) sum += std::exp(scores[c] - scores[best]);
    candidate.score = 1 / sum;
  } else if (layout_.activation == ScoreActivation::sigmoid) {
    candidate.score = sigmoid(candidate.score);
  }
  return true;
}

Status TensorPostprocDetection::add_masks(const Frame& frame, size_t rows, std::span<const Candidate> kept,
                                          std::span<Region> regions) {
  auto read = rows_of(frame, {layout_.mask, 0}, rows, 1, 4);
  if (!read) return forward_error(read);
  const Shape& shape = frame.tensors[size_t(layout_.mask)].shape;
  const int64_t height = shape.rank() < 2 ? 0 : shape[shape.rank() - 2], width = shape.back();
  const int64_t cells = height * width, planes = cells > 0 ? int64_t(read->stride) / cells : 0;
  if (planes < 1 || int64_t(read->stride) % cells != 0)
    return fail(ErrorCode::corrupt, "{} boxes, but the masks are {}", rows, shape.to_string());

  // Rows of SSD count classes from 1, the background being 0, and have no mask for that.
  const int64_t labels = int64_t(labels_.size());
  const bool from_one = labels > 0 ? planes == labels - 1 && layout_.background == 0 : layout_.masks_from_one;
  const Prototypes grid{{}, 1, height, width};  // where a mask of the whole input is cut to the box
  const auto range_of = [&](const Region& region) {
    return layout_.mask_of_input ? grid.cells(region.box) : CellRange{0, 0, width, height};
  };
  const auto thinned = [](int64_t side, int64_t step) { return (side + step - 1) / step; };
  const auto step_of = [&](const CellRange& range) {
    return thinned(std::max(range.width(), range.height()), most_mask_cells);
  };
  size_t needed = 0;
  for (const Region& region : regions) {
    const CellRange range = range_of(region);
    if (range.width() > 0)
      needed += size_t(thinned(range.width(), step_of(range)) * thinned(range.height(), step_of(range)));
  }
  if (auto ready = mask_memory_.begin(needed); !ready) return ready;
  for (size_t i = 0; i < kept.size(); ++i) {
    const CellRange range = range_of(regions[i]);
    const int64_t plane = planes == 1 ? 0 : kept[i].class_id - (from_one ? 1 : 0);
    if (range.width() == 0 || plane < 0 || plane >= planes) continue;
    const float* from = read->data + int64_t(kept[i].source) * int64_t(read->stride) + plane * cells;
    const int64_t step = step_of(range);
    const int64_t wide = thinned(range.width(), step), high = thinned(range.height(), step);
    const MaskMemory::Mask mask = mask_memory_.take(high, wide);
    for (int64_t y = 0; y < high; ++y) {
      for (int64_t x = 0; x < wide; ++x) {
        // The middle of the cells that one stands for.
        const int64_t at_y = std::min(range.y0 + y * step + step / 2, range.y1 - 1),
                      at_x = std::min(range.x0 + x * step + step / 2, range.x1 - 1);
        const float value = from[at_y * width + at_x];
        const float score = layout_.mask_is_logit ? sigmoid(value) : value;
        mask.at[size_t(y * wide + x)] = score >= 0 ? std::min(score, 1.f) : 0;
      }
    }
    Box covers = regions[i].box;
    if (layout_.mask_of_input)
      covers = grid.covers({range.x0, range.y0, range.x0 + wide * step, range.y0 + high * step});
    add_mask(regions[i], mask.tensor, covers);
  }
  return {};
}

Result<Verdict> TensorPostprocDetection::process(Frame& frame) {
  struct Unmap {  // when the frame is done, the engine may reuse its memory
    TensorPostprocDetection& self;
    ~Unmap() {
      for (auto& values : self.values_) values = {};
    }
  } unmap{*this};

  const DetectionLayout& at = layout_;
  auto boxes = own_sample(frame, size_t(at.box.tensor), 3);
  if (!boxes) return forward_error(boxes);
  if (boxes->shape.rank() < 2 || !boxes->shape.fixed() || boxes->shape.back() < 4)
    return fail(ErrorCode::corrupt, "output {} is {}, which are no rows of boxes", at.box.tensor + 1,
                boxes->shape.to_string());
  const size_t count = size_t(boxes->shape.elements() / boxes->shape.back());
  if (count == 0) return Verdict::pass;

  Rows rows[4];
  const DetectionColumn* const used[4] = {&at.box, &at.confidence, &at.label, &at.image};
  for (size_t which = 0; which < 4; ++which) {
    if (used[which]->tensor < 0) continue;
    auto found = rows_of(frame, *used[which], count, which == 0 ? 4 : 1, which);
    if (!found) return forward_error(found);
    rows[which] = *found;
  }
  const auto& [box, confidence, label, image] = rows;
  // A tensor for all samples tells them apart by image; one that was cut to our sample needs no telling.
  const bool cut = at.batched && frame.tensors[size_t(at.box.tensor)].shape[0] > 1;
  const float own_image = float(frame.source ? frame.source->batch_index : 0);

  candidates_.clear();
  const float threshold = float(params_.threshold);
  for (size_t i = 0; i < count; ++i) {
    if (image.data) {
      const float id = image.data[i * image.stride];
      if (id < 0) break;
      if (!cut && id != own_image) continue;
    }
    const float* scores = confidence.data + i * confidence.stride;
    Candidate candidate{.source = uint32_t(i)};
    if (at.score_per_class && confidence.width > 1) {
      if (!classify(scores, confidence.width, candidate)) continue;
    } else {
      candidate.score = at.activation == ScoreActivation::sigmoid ? sigmoid(*scores) : *scores;
      const float id = label.data ? label.data[i * label.stride] : 0;
      if (!(id >= 0 && id < 1e9f)) continue;
      candidate.class_id = int32_t(std::lround(id));
      if (candidate.class_id == at.background) continue;
    }
    if (!(candidate.score >= threshold)) continue;
    const float* b = box.data + i * box.stride;
    if (at.centred)
      candidate.x1 = b[0] - b[2] / 2, candidate.y1 = b[1] - b[3] / 2, candidate.x2 = b[0] + b[2] / 2,
      candidate.y2 = b[1] + b[3] / 2;
    else
      candidate.x1 = b[0], candidate.y1 = b[1], candidate.x2 = b[2], candidate.y2 = b[3];
    add_candidate(candidates_, candidate);
  }
  const float iou = params_.iou_threshold > 0 ? float(params_.iou_threshold) : 1.0f;
  const auto kept = suppression_.run(candidates_, {.iou_threshold = iou});
  const size_t before = frame.regions.size();
  add_regions(kept, scale_, labels_, model_, frame);
  if (at.mask >= 0 && !kept.empty())
    if (auto added = add_masks(frame, count, kept, std::span(frame.regions).subspan(before)); !added)
      return forward_error(added);
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
          "with scores, logits with boxes; with masks.",
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
          param("mask-index", &P::mask_index, "tensor with the masks; -1: found").range(-1, 1e6),
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
          param("activation", &P::activation,
                "what turns the scores into 0..1; auto: logits by their name, softmax where one class is the "
                "background")
              .choices({"auto", "none", "sigmoid", "softmax"}),
          param("mask-extent", &P::mask_extent,
                "what a mask covers: its box, or the whole model input; auto: by its size")
              .choices({"auto", "box", "input"}),
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
