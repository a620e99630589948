#include "sightglass/elements/tensor_postproc_gfl/tensor_postproc_gfl.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "sightglass/core/registry.h"

namespace sightglass {
namespace {

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

// Mean of a distribution over 0, 1, 2…, given as logits `step` numbers apart.
float mean_bin(const float* logits, int64_t bins, int64_t step) {
  float most = logits[0];
  for (int64_t k = 1; k < bins; ++k) most = std::max(most, logits[k * step]);
  float sum = 0, mean = 0;
  for (int64_t k = 0; k < bins; ++k) {
    const float weight = std::exp(logits[k * step] - most);
    sum += weight, mean += weight * float(k);
  }
  return mean / sum;
}

}  // namespace

Status TensorPostprocGfl::start() {
  auto labels = load_labels(params_.labels, params_.labels_file);
  if (!labels) return forward_error(labels);
  labels_ = std::move(*labels);
  request_ = {.strides = params_.strides,
              .classes = int64_t(labels_.size()),
              .landmarks = params_.landmarks,
              .width = params_.input_width,
              .height = params_.input_height};
  if (std::ranges::any_of(request_.strides, [](int64_t s) { return s < 1 || s > 4096; }))
    return fail(ErrorCode::invalid_argument, "strides are 1 to 4096 pixels");
  std::ranges::sort(request_.strides);
  return {};
}

void TensorPostprocGfl::update(const ParamSet& params) {
  params_.threshold = params.as<Params>().threshold;
  params_.iou_threshold = params.as<Params>().iou_threshold;
}

Status TensorPostprocGfl::configure(const Format& input, const Format&) {
  auto outputs = outputs_of(input);
  if (!outputs) return forward_error(outputs);
  model_ = Label((*outputs)->model);
  outputs_ = **outputs;
  shapes_.clear();
  levels_.clear();
  // What is fixed is looked at now, what depends on the frame with the first one.
  rows_.clear();
  for (size_t i = 0; i < outputs_.tensors.size(); ++i) {
    Shape shape = outputs_.tensors[i].shape;
    if (shape.rank() > 2) shape[0] = 1;
    if (!shape.fixed()) return {};
    if (const auto rows = cell_rows(int(i), shape)) rows_.push_back(*rows);
  }
  auto layout = find_gfl(outputs_, rows_, request_);
  if (!layout) return forward_error(layout);
  return set_layout(*std::move(layout));
}

Status TensorPostprocGfl::set_layout(GflLayout layout) {
  width_ = float(layout.width), height_ = float(layout.height);
  levels_.clear();
  uint32_t source = 0;
  for (const GflLevel& level : layout.levels) {
    levels_.push_back({level, source, {}});
    source += uint32_t(level.rows());
  }
  const GflLevel& first = layout.levels[0];
  // Distributions are measured from the middle of the cell, SCRFD's plain distances from its corner.
  offset_ = params_.cell_offset >= 0 ? float(params_.cell_offset) : first.bins > 1 ? 0.5f : 0.f;
  legend_ = face_legend(size_t(first.landmarks));
  if (labels_.empty() && first.landmarks == 5 && first.classes == 1) {
    const std::string face = "face";
    labels_ = LabelList(std::span(&face, 1));
  }
  return {};
}

Status TensorPostprocGfl::find_levels(const Frame& frame) {
  if (same_shapes(frame, shapes_)) return {};
  cell_rows(frame, rows_);
  auto layout = find_gfl(with_shapes(outputs_, frame), rows_, request_);
  if (layout) return set_layout(*std::move(layout));
  shapes_.clear();
  return forward_error(layout);
}

std::pair<float, float> TensorPostprocGfl::centre(const GflLevel& level, int64_t row) const {
  const int64_t cell = row / level.boxes, x = cell % level.width, y = cell / level.width;
  return {(float(x) + offset_) * float(level.stride), (float(y) + offset_) * float(level.stride)};
}

Status TensorPostprocGfl::decode(const Frame& frame, Level& level) {
  const GflLevel& at = level.at;
  auto scores = reader_.read(frame, size_t(at.scores.tensor), 3);
  if (!scores) return forward_error(scores);
  auto distances =
      at.distances.tensor == at.scores.tensor ? scores : reader_.read(frame, size_t(at.distances.tensor), 3);
  if (!distances) return forward_error(distances);
  if (at.landmarks > 0) {
    auto points = reader_.read(frame, size_t(at.points.tensor), 3);
    if (!points) return forward_error(points);
    level.points = *points;
  }
  const float threshold = float(params_.threshold), stride = float(at.stride);
  for (int64_t row = 0; row < at.rows(); ++row) {
    const float* s = scores->data() + (at.first_cell + row) * at.scores.cell_step;
    int64_t best = -1;
    float best_score = params_.sigmoid ? -std::numeric_limits<float>::infinity() : threshold;
    for (int64_t c = 0; c < at.classes; ++c) {
      const float score = s[c * at.scores.column_step];
      if (score > best_score || (best < 0 && score >= best_score)) best = c, best_score = score;
    }
    if (best < 0) continue;
    const float score = params_.sigmoid ? sigmoid(best_score) : best_score;
    if (!(score >= threshold)) continue;
    const int64_t step = at.distances.column_step;
    const float* d =
        distances->data() + (at.first_cell + row) * at.distances.cell_step + at.first_column * step;
    float side[4];
    for (int64_t i = 0; i < 4; ++i)
      side[i] = (at.bins > 1 ? mean_bin(d + i * at.bins * step, at.bins, step) : d[i * step]) * stride;
    const auto [x, y] = centre(at, row);
    add_candidate(candidates_, {.x1 = x - side[0],
                                .y1 = y - side[1],
                                .x2 = x + side[2],
                                .y2 = y + side[3],
                                .score = score,
                                .class_id = int32_t(best),
                                .source = level.first_source + uint32_t(row)});
  }
  return {};
}

std::vector<float> TensorPostprocGfl::points_of(const Candidate& object) const {
  const Level& level = *std::ranges::find_if(
      levels_, [&](const Level& l) { return object.source - l.first_source < uint32_t(l.at.rows()); });
  const int64_t row = object.source - level.first_source, step = level.at.points.column_step;
  const float* p = level.points.data() + row * level.at.points.cell_step;
  const auto [x, y] = centre(level.at, row);
  const float stride = float(level.at.stride);
  std::vector<float> triples;
  triples.reserve(size_t(3 * level.at.landmarks));
  for (int64_t k = 0; k < level.at.landmarks; ++k)
    triples.insert(triples.end(), {(x + p[2 * k * step] * stride) / width_,
                                   (y + p[(2 * k + 1) * step] * stride) / height_, object.score});
  return triples;
}

Result<Verdict> TensorPostprocGfl::process(Frame& frame) {
  struct Release {
    OutputReader& reader;
    ~Release() { reader.release(); }
  } release{reader_};
  if (auto found = find_levels(frame); !found) return forward_error(found);
  candidates_.clear();
  for (Level& level : levels_)
    if (auto decoded = decode(frame, level); !decoded) return forward_error(decoded);
  const auto kept = suppression_.run(
      candidates_, {.iou_threshold = float(params_.iou_threshold), .max_objects = params_.max_objects});
  const size_t before = frame.regions.size();
  add_regions(kept, {1 / width_, 1 / height_}, labels_, model_, frame);
  static const Label name("landmarks");
  for (size_t i = 0; levels_[0].at.landmarks > 0 && i < kept.size(); ++i)
    add_keypoints(frame.regions[before + i], name, points_of(kept[i]), legend_);
  return Verdict::pass;
}

namespace {

const Registration registration([] {
  using P = TensorPostprocGfl::Params;
  return ElementDesc{
      .name = "tensor_postproc_gfl",
      .title = "Objects from distance heads",
      .klass = "Filter/Analyzer",
      .doc =
          "Turns class scores and distances to the sides of a box into objects: PicoDet, NanoDet, and SCRFD "
          "with landmarks.",
      .kind = ElementKind::transform_inplace,
      .input = any_tensors(),
      .params = ParamTable::of<P>({
          param("labels", &P::labels, "class names, or a file with one on each line"),
          param("labels-file", &P::labels_file, "file with a class name on each line"),
          param("threshold", &P::threshold, "least score that is kept").range(0, 1).live(),
          param("iou-threshold", &P::iou_threshold, "overlap above which the weaker box of a class goes")
              .range(0, 1)
              .live(),
          param("strides", &P::strides, "pixels per cell of each grid; empty: by the numbers of cells")
              .in("px"),
          param("landmarks", &P::landmarks, "add the points of each object where the model has them"),
          param("cell-offset", &P::cell_offset,
                "where in its cell a box is measured from, 0 corner, 0.5 middle; -1: middle for "
                "distributions, corner for plain distances")
              .range(-1, 1),
          param("sigmoid", &P::sigmoid, "scores are logits"),
          param("max-objects", &P::max_objects, "most objects of a frame, the best")
              .range(1, max_frame_objects),
          param("input-width", &P::input_width, "width of the model input; 0: found where it is square")
              .in("px"),
          param("input-height", &P::input_height, "height of the model input; 0: found where it is square")
              .in("px"),
      }),
      .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
        return std::make_unique<TensorPostprocGfl>(params.as<P>());
      },
  };
}());

}  // namespace
}  // namespace sightglass
