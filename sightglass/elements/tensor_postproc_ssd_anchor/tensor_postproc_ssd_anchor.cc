#include "sightglass/elements/tensor_postproc_ssd_anchor/tensor_postproc_ssd_anchor.h"

#include <algorithm>
#include <cmath>

#include "sightglass/core/registry.h"

namespace sightglass {
namespace {

float overlap(const Candidate& a, const Candidate& b) {
  return iou({a.x1, a.y1, a.x2 - a.x1, a.y2 - a.y1}, {b.x1, b.y1, b.x2 - b.x1, b.y2 - b.y1});
}

}  // namespace

Status TensorPostprocSsdAnchor::start() {
  const Params& p = params_;
  auto labels = load_labels(p.labels, p.labels_file);
  if (!labels) return forward_error(labels);
  labels_ = std::move(*labels);
  if (!p.variances.empty() && p.variances.size() != 2 && p.variances.size() != 4)
    return fail(ErrorCode::invalid_argument,
                "variances: {} numbers; expected are two (place, size), four (x, y, w, h) or none",
                p.variances.size());
  if (p.softmax && p.sigmoid) return fail(ErrorCode::invalid_argument, "softmax=true needs sigmoid=false");
  file_anchors_.clear();
  if (!p.anchor_file.empty()) {
    auto anchors = read_anchors(p.anchor_file);
    if (!anchors) return forward_error(anchors);
    file_anchors_ = std::move(*anchors);
  }
  legend_ = face_legend(p.keypoints);
  return {};
}

void TensorPostprocSsdAnchor::update(const ParamSet& params) {
  params_.threshold = params.as<Params>().threshold;
  params_.iou_threshold = params.as<Params>().iou_threshold;
}

Status TensorPostprocSsdAnchor::find_outputs(const TensorsInfo& outputs) {
  const auto unknown = [&](std::string_view why) {
    shapes_.clear();
    return fail(
        ErrorCode::not_negotiated,
        "no raw SSD heads: {} ({}); known are scores [1,N,C] with boxes [1,N,4], and keypoints={} points "
        "behind the boxes or in [1,N,{}]",
        to_string(outputs), why, params_.keypoints, 2 * params_.keypoints);
  };
  // By their columns: boxes have 4, or 4 and the points; the scores are what is left.
  const int64_t point_columns = 2 * int64_t(params_.keypoints);
  const CellRows *boxes = nullptr, *points = nullptr, *scores = nullptr;
  for (const CellRows& rows : rows_)
    if (point_columns > 0 && rows.columns == 4 + point_columns) boxes = points = &rows;
  for (const CellRows& rows : rows_)
    if (!boxes && rows.columns == 4) boxes = &rows;
  for (const CellRows& rows : rows_)
    if (point_columns > 0 && !points && &rows != boxes && rows.columns == point_columns) points = &rows;
  for (const CellRows& rows : rows_)
    if (&rows != boxes && &rows != points && boxes && rows.cells == boxes->cells && !scores) scores = &rows;
  // Without being asked for, points behind the boxes are passed over.
  if (!boxes && point_columns == 0 && rows_.size() == 2) {
    const bool first = rows_[0].columns > rows_[1].columns;
    boxes = &rows_[first ? 0 : 1], scores = &rows_[first ? 1 : 0];
    if (boxes->columns < 4 || boxes->cells != scores->cells) boxes = nullptr;
  }
  if (!boxes || !scores) return unknown("no boxes with scores");
  if (point_columns > 0 && (!points || points->cells != boxes->cells)) return unknown("no points");
  boxes_ = *boxes, scores_ = *scores;
  if (points) points_ = *points, first_point_ = points == boxes ? 4 : 0;

  const int64_t classes = scores_.columns, labels = int64_t(labels_.size());
  // The background has a label, or is the one class more than labels, the first.
  background_ = labels_.background();
  first_label_ = 0;
  if (background_ < 0 && (classes == labels + 1 || (labels == 0 && classes == 2))) {
    if (classes > 1) background_ = 0, first_label_ = 1;
  }
  if (labels > classes) return unknown("there are more labels than scores");

  int64_t width = params_.input_width, height = params_.input_height;
  if (!file_anchors_.empty()) {
    if (int64_t(file_anchors_.size()) != boxes_.cells)
      return unknown(std::format("anchor-file has {} anchors", file_anchors_.size()));
    anchors_ = file_anchors_;
    if (params_.variances.empty() && (width == 0 || height == 0))
      return unknown("input-width and input-height have to be set");
    return {};
  }
  if (width == 0 || height == 0) return unknown("input-width and input-height have to be set");
  const auto strides = params_.strides.empty() ? usual_strides(width, height, boxes_.cells) : params_.strides;
  if (strides.empty()) return unknown("strides have to be set");
  auto anchors = make_anchors(strides, params_.anchor_sizes, width, height, boxes_.cells);
  if (!anchors) return unknown(anchors.error().message);
  anchors_ = std::move(*anchors);
  return {};
}

Status TensorPostprocSsdAnchor::configure(const Format& input, const Format&) {
  auto outputs = outputs_of(input);
  if (!outputs) return forward_error(outputs);
  model_ = Label((*outputs)->model);
  outputs_ = **outputs;
  shapes_.clear();
  rows_.clear();
  for (size_t i = 0; i < outputs_.tensors.size(); ++i) {
    Shape shape = outputs_.tensors[i].shape;
    if (shape.rank() > 2) shape[0] = 1;
    if (!shape.fixed()) return {};  // found with the first frame
    if (const auto rows = cell_rows(int(i), shape)) rows_.push_back(*rows);
  }
  return find_outputs(outputs_);
}

bool TensorPostprocSsdAnchor::classify(const float* scores, Candidate& candidate) const {
  const int64_t step = scores_.column_step;
  int64_t best = -1;
  for (int64_t c = 0; c < scores_.columns; ++c) {
    const float score = scores[c * step];
    if (c != background_ && score == score && (best < 0 || score > scores[best * step])) best = c;
  }
  if (best < 0) return false;
  float score = scores[best * step];
  if (params_.softmax) {
    float sum = 0;
    for (int64_t c = 0; c < scores_.columns; ++c) sum += std::exp(scores[c * step] - score);
    score = 1 / sum;
  } else if (params_.sigmoid) {
    score = 1 / (1 + std::exp(-score));
  }
  candidate.score = score;
  candidate.class_id = int32_t(best - first_label_);
  return score >= float(params_.threshold);
}

Status TensorPostprocSsdAnchor::decode(const Frame& frame) {
  auto scores = reader_.read(frame, size_t(scores_.tensor), 3),
       boxes = reader_.read(frame, size_t(boxes_.tensor), 3);
  if (!scores) return forward_error(scores);
  if (!boxes) return forward_error(boxes);
  box_values_ = point_values_ = *boxes;
  if (params_.keypoints > 0 && points_.tensor != boxes_.tensor) {
    auto points = reader_.read(frame, size_t(points_.tensor), 3);
    if (!points) return forward_error(points);
    point_values_ = *points;
  }
  const bool exponential = !params_.variances.empty();
  float scale[4];
  for (size_t i = 0; i < 4; ++i)
    scale[i] = params_.variances.size() == 4   ? float(params_.variances[i])
               : params_.variances.size() == 2 ? float(params_.variances[i / 2])
               : i % 2 == 0                    ? 1 / float(params_.input_width)
                                               : 1 / float(params_.input_height);
  const int64_t step = boxes_.column_step;
  for (int64_t i = 0; i < boxes_.cells; ++i) {
    Candidate candidate{.source = uint32_t(i)};
    if (!classify(scores->data() + i * scores_.cell_step, candidate)) continue;
    const float* b = box_values_.data() + i * boxes_.cell_step;
    const SsdAnchor& anchor = anchors_[size_t(i)];
    const float x = b[0] * scale[0] * anchor.w + anchor.x, y = b[step] * scale[1] * anchor.h + anchor.y;
    float w = b[2 * step] * scale[2], h = b[3 * step] * scale[3];
    if (exponential) w = std::exp(w), h = std::exp(h);
    w *= anchor.w, h *= anchor.h;
    candidate.x1 = x - w / 2, candidate.y1 = y - h / 2, candidate.x2 = x + w / 2, candidate.y2 = y + h / 2;
    add_candidate(candidates_, candidate);
  }
  return {};
}

void TensorPostprocSsdAnchor::add_points(const Candidate& candidate, std::vector<float>& triples) const {
  const bool pixels = params_.variances.empty();
  const float scale_x = pixels ? 1 / float(params_.input_width) : float(params_.variances[0]),
              scale_y = pixels ? 1 / float(params_.input_height)
                               : float(params_.variances[params_.variances.size() == 4 ? 1 : 0]);
  const SsdAnchor& anchor = anchors_[candidate.source];
  const int64_t step = points_.column_step;
  const float* p = point_values_.data() + int64_t(candidate.source) * points_.cell_step + first_point_ * step;
  for (int64_t k = 0; k < int64_t(params_.keypoints); ++k)
    triples.insert(triples.end(), {p[2 * k * step] * scale_x * anchor.w + anchor.x,
                                   p[(2 * k + 1) * step] * scale_y * anchor.h + anchor.y, candidate.score});
}

// The mean of all boxes that overlap the best one, and of their points.
void TensorPostprocSsdAnchor::merge(std::span<const Candidate> all, const Candidate& best, Candidate& merged,
                                    std::vector<float>& triples) const {
  double sum = 0, x1 = 0, y1 = 0, x2 = 0, y2 = 0;
  std::vector<float> one;
  triples.assign(3 * params_.keypoints, 0);
  for (const Candidate& candidate : all) {
    if (candidate.class_id != best.class_id || overlap(candidate, best) <= float(params_.iou_threshold))
      continue;
    const double weight = candidate.score;
    sum += weight;
    x1 += weight * candidate.x1, y1 += weight * candidate.y1;
    x2 += weight * candidate.x2, y2 += weight * candidate.y2;
    if (params_.keypoints == 0) continue;
    one.clear();
    add_points(candidate, one);
    for (size_t i = 0; i < one.size(); ++i) triples[i] += float(weight) * one[i];
  }
  merged = best;
  if (!(sum > 0)) {
    triples.clear();
    return add_points(best, triples);
  }
  merged.x1 = float(x1 / sum), merged.y1 = float(y1 / sum);
  merged.x2 = float(x2 / sum), merged.y2 = float(y2 / sum);
  for (size_t i = 0; i < triples.size(); ++i) triples[i] = i % 3 == 2 ? best.score : triples[i] / float(sum);
}

Result<Verdict> TensorPostprocSsdAnchor::process(Frame& frame) {
  struct Release {
    OutputReader& reader;
    ~Release() { reader.release(); }
  } release{reader_};
  if (!same_shapes(frame, shapes_)) {
    cell_rows(frame, rows_);
    if (auto found = find_outputs(with_shapes(outputs_, frame)); !found) return forward_error(found);
  }
  candidates_.clear();
  if (auto decoded = decode(frame); !decoded) return forward_error(decoded);
  auto kept = suppression_.run(
      candidates_, {.iou_threshold = float(params_.iou_threshold), .max_objects = params_.max_objects});
  static const Label name("keypoints");
  const size_t before = frame.regions.size();
  if (!params_.weighted_nms) {
    add_regions(kept, {}, labels_, model_, frame);
    for (size_t i = 0; params_.keypoints > 0 && i < kept.size(); ++i) {
      std::vector<float> triples;
      triples.reserve(3 * params_.keypoints);
      add_points(kept[i], triples);
      add_keypoints(frame.regions[before + i], name, std::move(triples), legend_);
    }
    return Verdict::pass;
  }
  std::vector<float> triples;
  for (const Candidate& best : kept) {
    Candidate merged;
    merge(candidates_, best, merged, triples);
    add_regions(std::span(&merged, 1), {}, labels_, model_, frame);
    if (params_.keypoints > 0) add_keypoints(frame.regions.back(), name, triples, legend_);
  }
  return Verdict::pass;
}

namespace {

const Registration registration([] {
  using P = TensorPostprocSsdAnchor::Params;
  return ElementDesc{
      .name = "tensor_postproc_ssd_anchor",
      .title = "Objects from raw SSD heads",
      .klass = "Filter/Analyzer",
      .doc =
          "Turns scores and boxes that are relative to anchors into objects with keypoints: BlazeFace and "
          "its "
          "kin, RetinaFace, SSD.",
      .kind = ElementKind::transform_inplace,
      .input = any_tensors(),
      .params = ParamTable::of<P>({
          param("labels", &P::labels, "class names, or a file with one on each line"),
          param("labels-file", &P::labels_file, "file with a class name on each line"),
          param("threshold", &P::threshold, "least score that is kept").range(0, 1).live(),
          param("iou-threshold", &P::iou_threshold, "overlap above which the weaker box of a class goes")
              .range(0, 1)
              .live(),
          param("strides", &P::strides,
                "pixels per cell of the grids of anchors, in the order of the output; empty: those of the "
                "BlazeFace family where they fit")
              .in("px"),
          param("anchor-sizes", &P::anchor_sizes,
                "sides of the anchors of a cell, equally many for each stride; empty: as large as the input")
              .in("px"),
          param("anchor-file", &P::anchor_file, "file with a line x,y,w,h (0..1) for each anchor"),
          param("variances", &P::variances,
                "factors of place and size (2, or 4 for x, y, w, h) of the exponential coding; empty: places "
                "and sizes are pixels"),
          param("keypoints", &P::keypoints, "points of each object").range(0, 1000),
          param("sigmoid", &P::sigmoid, "scores are logits, each by itself"),
          param("softmax", &P::softmax, "scores are logits over all classes"),
          param("weighted-nms", &P::weighted_nms,
                "boxes and points are the mean of all that overlap, by their scores"),
          param("max-objects", &P::max_objects, "most objects of a frame, the best")
              .range(1, max_frame_objects),
          param("input-width", &P::input_width, "width of the model input; 0: unknown").in("px"),
          param("input-height", &P::input_height, "height of the model input; 0: unknown").in("px"),
      }),
      .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
        return std::make_unique<TensorPostprocSsdAnchor>(params.as<P>());
      },
  };
}());

}  // namespace
}  // namespace sightglass
