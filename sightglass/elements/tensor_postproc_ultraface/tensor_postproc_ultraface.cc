#include "sightglass/elements/tensor_postproc_ultraface/tensor_postproc_ultraface.h"

#include "sightglass/core/registry.h"

namespace sightglass {

Status TensorPostprocUltraface::start() {
  auto labels = load_labels(params_.labels, params_.labels_file);
  if (!labels) return forward_error(labels);
  if (labels->size() > 2)
    return fail(ErrorCode::invalid_argument, "{} labels, but there is one class (and the background)",
                labels->size());
  // The face is class 0, or behind a background that has a name too.
  const std::string face(labels->empty() ? "face" : (*labels)[int64_t(labels->size()) - 1].view());
  labels_ = LabelList(std::span(&face, 1));
  return {};
}

void TensorPostprocUltraface::update(const ParamSet& params) {
  params_.threshold = params.as<Params>().threshold;
  params_.iou_threshold = params.as<Params>().iou_threshold;
}

Status TensorPostprocUltraface::configure(const Format& input, const Format&) {
  auto outputs = outputs_of(input);
  if (!outputs) return forward_error(outputs);
  model_ = Label((*outputs)->model);
  scores_ = boxes_ = -1;
  for (int i = 0; i < int((*outputs)->tensors.size()); ++i) {
    const Shape& shape = (*outputs)->tensors[size_t(i)].shape;
    if (shape.rank() != 3) continue;
    if (shape.back() == 2) scores_ = i;
    if (shape.back() == 4) boxes_ = i;
  }
  if (scores_ < 0 || boxes_ < 0)
    return fail(ErrorCode::not_negotiated, "scores 1xNx2 and boxes 1xNx4 are needed, but the outputs are {}",
                to_string(**outputs));
  return {};
}

Result<Verdict> TensorPostprocUltraface::process(Frame& frame) {
  auto scores = own_sample(frame, size_t(scores_), 3), boxes = own_sample(frame, size_t(boxes_), 3);
  if (!scores) return forward_error(scores);
  if (!boxes) return forward_error(boxes);
  const int64_t count = boxes->shape.elements() / 4;
  if (boxes->shape.rank() != 3 || boxes->shape[2] != 4 || count < 0 || scores->shape.elements() != count * 2)
    return fail(ErrorCode::corrupt, "scores {} do not fit boxes {}", scores->shape.to_string(),
                boxes->shape.to_string());
  if (count == 0) return Verdict::pass;
  auto score_values = read_values(*scores, score_scratch_);
  if (!score_values) return forward_error(score_values);
  auto box_values = read_values(*boxes, box_scratch_);
  if (!box_values) return forward_error(box_values);

  candidates_.clear();
  const float threshold = float(params_.threshold);
  for (size_t i = 0; i < size_t(count); ++i) {
    const float score = score_values->data[2 * i + 1];
    if (!(score >= threshold)) continue;
    const float* b = &box_values->data[4 * i];
    add_candidate(candidates_, {b[0], b[1], b[2], b[3], score, 0});
  }
  const auto kept = suppression_.run(candidates_, {.iou_threshold = float(params_.iou_threshold)});
  add_regions(kept, {}, labels_, model_, frame);
  return Verdict::pass;
}

namespace {

const Registration registration([] {
  using P = TensorPostprocUltraface::Params;
  return ElementDesc{
      .name = "tensor_postproc_ultraface",
      .title = "UltraFace faces from tensors",
      .klass = "Filter/Analyzer",
      .doc = "Turns scores [1,N,2] and decoded boxes [1,N,4] of the UltraFace detectors into faces.",
      .kind = ElementKind::transform_inplace,
      .input = any_tensors(),
      .params = ParamTable::of<P>({
          param("labels", &P::labels, "name of the class, \"face\" when empty"),
          param("labels-file", &P::labels_file, "file with that name"),
          param("threshold", &P::threshold, "least score that is kept").range(0, 1).live(),
          param("iou-threshold", &P::iou_threshold, "overlap above which the weaker box goes")
              .range(0, 1)
              .live(),
      }),
      .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
        return std::make_unique<TensorPostprocUltraface>(params.as<P>());
      },
  };
}());

}  // namespace
}  // namespace sightglass
