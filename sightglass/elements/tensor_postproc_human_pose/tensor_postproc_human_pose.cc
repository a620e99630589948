#include "sightglass/elements/tensor_postproc_human_pose/tensor_postproc_human_pose.h"

#include <algorithm>
#include <cmath>

#include "sightglass/core/registry.h"
#include "sightglass/elements/detection/object_details.h"

namespace sightglass {
namespace {

using Names = std::vector<std::string>;
using Links = std::vector<std::pair<uint16_t, uint16_t>>;

constexpr size_t most_points = 512;
constexpr size_t box_columns = 5;  // behind the points of a list of several persons

const Names coco_points = {"nose",          "left_eye",       "right_eye",  "left_ear",    "right_ear",
                           "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist",
                           "right_wrist",   "left_hip",       "right_hip",  "left_knee",   "right_knee",
                           "left_ankle",    "right_ankle"};
const Links coco_links = {{0, 1},  {0, 2},  {1, 3},  {2, 4},   {5, 6},   {5, 7},   {7, 9},   {6, 8},
                          {8, 10}, {5, 11}, {6, 12}, {11, 12}, {11, 13}, {13, 15}, {12, 14}, {14, 16}};
const Names openpose_points = {"nose",          "neck",       "right_shoulder", "right_elbow", "right_wrist",
                               "left_shoulder", "left_elbow", "left_wrist",     "right_hip",   "right_knee",
                               "right_ankle",   "left_hip",   "left_knee",      "left_ankle",  "right_eye",
                               "left_eye",      "right_ear",  "left_ear"};

// [.., K, 3]
bool is_list(const Shape& shape) {
  return shape.rank() >= 3 && shape.back() == 3 && shape[shape.rank() - 2] > 3;
}
// [1, P, 3K+5]
bool is_list_of_persons(const Shape& shape) {
  return shape.rank() == 3 && shape[2] > int64_t(box_columns) && (shape[2] - int64_t(box_columns)) % 3 == 0;
}
bool is_map(const Shape& shape) { return shape.rank() == 4 && shape[2] > 1 && shape[3] > 1; }

}  // namespace

Status TensorPostprocHumanPose::start() {
  auto labels = load_labels(params_.labels, params_.labels_file);
  if (!labels) return forward_error(labels);
  const std::string person[] = {"person"};
  labels_ = labels->empty() ? LabelList(person) : std::move(*labels);
  if (params_.point_connections.size() % 2 != 0)
    return fail(ErrorCode::invalid_argument, "point-connections are pairs of names, but there are {}",
                params_.point_connections.size());
  return {};
}

Status TensorPostprocHumanPose::find_tensors(const TensorsInfo& outputs) {
  const auto shape = [&](size_t i) -> const Shape& { return outputs.tensors[i].shape; };
  mode_ = params_.mode;
  const size_t count = outputs.tensors.size();
  const bool two_maps = count == 2 && is_map(shape(0)) && is_map(shape(1)) && shape(0)[2] == shape(1)[2] &&
                        shape(0)[3] == shape(1)[3];
  if (mode_ == Mode::openpose || (mode_ == Mode::automatic && two_maps && params_.layer_name.empty())) {
    if (!two_maps)
      return fail(ErrorCode::not_negotiated,
                  "heat maps and part-affinity maps of one size are needed, but the outputs are {}",
                  to_string(outputs));
    mode_ = Mode::openpose;
    // There are two part-affinity maps for a link, and about as many links as points.
    tensor_ = shape(0)[1] < shape(1)[1] ? 0 : 1;
    affinity_ = 1 - tensor_;
    return {};
  }
  auto found = find_output(outputs, params_.layer_name);
  if (!found) return forward_error(found);
  tensor_ = size_t(*found);
  const Shape& points = shape(tensor_);
  if (mode_ == Mode::automatic)
    mode_ = is_list(points) || is_list_of_persons(points) ? Mode::list
            : is_map(points)                              ? Mode::heatmap
                                                          : Mode::automatic;
  const bool fits = mode_ == Mode::list ? is_list(points) || is_list_of_persons(points)
                                        : mode_ == Mode::heatmap && is_map(points);
  if (!fits)
    return fail(ErrorCode::not_negotiated,
                "no points can be read from {}; there should be a list [1,1,K,3], "
                "heat maps [1,K,h,w], or those with part-affinity maps [1,2L,h,w]",
                to_string(outputs));
  return {};
}

Status TensorPostprocHumanPose::make_legend(size_t points) {
  auto legend = make_ref<Legend>();
  legend->names = params_.point_names;
  if (legend->names.empty() && points == coco_points.size()) legend->names = coco_points;
  if (legend->names.empty() && points == openpose_points.size()) legend->names = openpose_points;
  for (size_t i = 0; i + 1 < params_.point_connections.size(); i += 2) {
    const auto find = [&](const std::string& name) { return std::ranges::find(legend->names, name); };
    const auto from = find(params_.point_connections[i]), to = find(params_.point_connections[i + 1]);
    for (const auto& [place, name] : {std::pair(from, i), std::pair(to, i + 1)})
      if (place == legend->names.end())
        return fail(ErrorCode::invalid_argument,
                    "point-connections: there is no point '{}' among point-names",
                    params_.point_connections[name]);
    legend->links.emplace_back(from - legend->names.begin(), to - legend->names.begin());
  }
  if (legend->links.empty() && legend->names == coco_points) legend->links = coco_links;
  if (legend->links.empty() && legend->names.size() == openpose_points.size() && mode_ == Mode::openpose)
    for (const PoseLink& link : openpose_links().first(17)) legend->links.emplace_back(link.from, link.to);
  if (mode_ == Mode::openpose) {
    links_.assign(openpose_links().begin(), openpose_links().end());
    if (points != openpose_points.size()) {
      links_.clear();
      for (const auto& [from, to] : legend->links) {
        const auto map = uint16_t(2 * links_.size());
        links_.push_back({from, to, map, uint16_t(map + 1)});
      }
    }
  }
  legend_ = legend->names.empty() ? nullptr : legend;
  return {};
}

Status TensorPostprocHumanPose::configure(const Format& input, const Format&) {
  auto outputs = outputs_of(input);
  if (!outputs) return forward_error(outputs);
  model_ = Label((*outputs)->model);
  name_ = Label(params_.attribute_name);
  if (auto status = find_tensors(**outputs); !status) return status;

  const Shape& shape = (*outputs)->tensors[tensor_].shape;
  if (!shape.fixed())
    return fail(ErrorCode::not_negotiated, "the size of {} is not known", to_string(**outputs));
  const bool several = mode_ == Mode::list && !is_list(shape);
  int64_t points = shape[1];
  if (mode_ == Mode::list) points = several ? (shape[2] - int64_t(box_columns)) / 3 : shape[shape.rank() - 2];
  const int64_t named = int64_t(params_.point_names.size());
  if (mode_ == Mode::openpose) {
    // The last heat map may be the background.
    const int64_t links = (*outputs)->tensors[affinity_].shape[1] / 2;
    points = named > 0 ? named : points == int64_t(openpose_points.size()) + 1 ? points - 1 : points;
    if (points > shape[1])
      return fail(ErrorCode::invalid_argument, "{} point-names, but only {} heat maps: {}", named, shape[1],
                  to_string(**outputs));
    const bool given = !params_.point_connections.empty() && points != int64_t(openpose_points.size());
    const int64_t wanted =
        given ? int64_t(params_.point_connections.size() / 2) : int64_t(openpose_links().size());
    if (links != wanted || (!given && points != int64_t(openpose_points.size())))
      return fail(ErrorCode::invalid_argument,
                  "the part-affinity maps are of {} links, point-connections name {}: {}", links,
                  params_.point_connections.size() / 2, to_string(**outputs));
  } else if (named > 0 && named != points) {
    return fail(ErrorCode::invalid_argument, "{} point-names, but {} points: {}", named, points,
                to_string(**outputs));
  }
  if (points < 1 || size_t(points) > most_points)
    return fail(ErrorCode::invalid_argument, "{} points are too many: {}", points, to_string(**outputs));
  point_count_ = size_t(points);
  persons_ = several ? size_t(shape[1]) : 1;
  if (shape.rank() == 4 && mode_ != Mode::list) height_ = shape[2], width_ = shape[3];
  return make_legend(point_count_);
}

void TensorPostprocHumanPose::add_person(Frame& frame) {
  float x1 = 1, y1 = 1, x2 = 0, y2 = 0, sum = 0;
  unsigned found = 0;
  for (size_t i = 0; i + 3 <= points_.size(); i += 3) {
    const float x = points_[i], y = points_[i + 1], score = points_[i + 2];
    if (!std::isfinite(x) || !std::isfinite(y) || !(score >= threshold()) || !std::isfinite(score) ||
        score <= 0) {
      points_[i] = points_[i + 1] = -1;
      points_[i + 2] = std::isfinite(score) ? score : 0;
      continue;
    }
    x1 = std::min(x1, x), y1 = std::min(y1, y), x2 = std::max(x2, x), y2 = std::max(y2, y);
    sum += score;
    ++found;
  }
  if (found == 0 || found < params_.minimum_points) return;
  const float confidence = std::min(1.f, sum / float(found));
  if (frame.source && frame.source->roi && persons_ == 1 && mode_ != Mode::openpose) {
    Attribute attribute{
        .name = name_, .kind = AttributeKind::keypoints, .confidence = confidence, .model = model_};
    attribute.values.assign(points_.begin(), points_.end());
    attribute.legend = legend_;
    frame.attributes = with(frame.attributes, std::move(attribute));
    return;
  }
  Region region;
  region.box = {x1, y1, x2 - x1, y2 - y1};
  region.confidence = confidence;
  region.label = labels_[0];
  region.label_id = 0;
  region.model = model_;
  add_keypoints(region, name_, points_, legend_);
  frame.regions.push_back(std::move(region));
}

void TensorPostprocHumanPose::read_list(std::span<const float> values, Frame& frame) {
  const size_t row =
      persons_ == 1 && values.size() == 3 * point_count_ ? values.size() : 3 * point_count_ + box_columns;
  for (size_t p = 0; p < persons_ && (p + 1) * row <= values.size(); ++p) {
    const std::span<const float> person = values.subspan(p * row, row);
    if (row > 3 * point_count_ && !(person.back() >= threshold())) continue;
    points_.clear();
    for (size_t k = 0; k < point_count_; ++k)
      points_.insert(points_.end(), {person[3 * k + 1], person[3 * k], person[3 * k + 2]});
    add_person(frame);
  }
}

void TensorPostprocHumanPose::read_heatmaps(std::span<const float> maps, Frame& frame) {
  const size_t cells = size_t(height_ * width_);
  points_.clear();
  for (size_t k = 0; k < point_count_ && (k + 1) * cells <= maps.size(); ++k) {
    const std::span<const float> map = maps.subspan(k * cells, cells);
    size_t best = cells;
    for (size_t i = 0; i < cells; ++i)
      if (std::isfinite(map[i]) && (best == cells || map[i] > map[best])) best = i;
    if (best == cells) {
      points_.insert(points_.end(), {-1, -1, 0});
      continue;
    }
    const int64_t x = int64_t(best) % width_, y = int64_t(best) / width_;
    const auto step = [&](float before, float after) {
      return after > before ? .25f : after < before ? -.25f : 0;
    };
    const float dx = x > 0 && x + 1 < width_ ? step(map[best - 1], map[best + 1]) : 0,
                dy = y > 0 && y + 1 < height_ ? step(map[best - size_t(width_)], map[best + size_t(width_)])
                                              : 0;
    // Cell x is where the network was taught to see what is at x·stride.
    points_.insert(points_.end(),
                   {(float(x) + dx) / float(width_), (float(y) + dy) / float(height_), map[best]});
  }
  add_person(frame);
}

Result<Verdict> TensorPostprocHumanPose::process(Frame& frame) {
  auto sample = own_sample(frame, tensor_, 3);
  if (!sample) return forward_error(sample);
  auto values = read_values(*sample, scratch_);
  if (!values) return forward_error(values);
  if (mode_ == Mode::list) {
    read_list(values->data, frame);
  } else if (mode_ == Mode::heatmap) {
    read_heatmaps(values->data, frame);
  } else {
    auto fields = own_sample(frame, affinity_, 3);
    if (!fields) return forward_error(fields);
    auto directions = read_values(*fields, affinity_scratch_);
    if (!directions) return forward_error(directions);
    const size_t cells = size_t(height_ * width_);
    if (values->data.size() < point_count_ * cells || directions->data.size() < 2 * cells)
      return fail(ErrorCode::corrupt, "the maps are smaller than was agreed");
    openpose_.run({values->data, directions->data, height_, width_},
                  {.links = links_,
                   .closing = point_count_ == openpose_points.size() ? 2u : 0u,
                   .points = point_count_,
                   .least_points = params_.minimum_points,
                   .threshold = threshold()},
                  [&](std::span<const float> points) {
                    points_.assign(points.begin(), points.end());
                    add_person(frame);
                  });
  }
  return Verdict::pass;
}

namespace {

const Registration registration([] {
  using P = TensorPostprocHumanPose::Params;
  return ElementDesc{
      .name = "tensor_postproc_human_pose",
      .title = "Persons with points from tensors",
      .klass = "Filter/Analyzer",
      .doc = "Turns the output of a pose estimator (OpenPose, HRNet, MoveNet) into persons with points.",
      .kind = ElementKind::transform_inplace,
      .input = any_tensors(),
      .params = ParamTable::of<P>({
          param("labels", &P::labels, "name of the class of all persons"),
          param("labels-file", &P::labels_file, "file with the name of the class"),
          param("threshold", &P::threshold, "least score of a point").range(0, 1).live(),
          param("point-names", &P::point_names, "names of the points, in order"),
          param("point-connections", &P::point_connections, "pairs of names: the skeleton"),
          param("mode", &P::mode, "what the tensors are; auto: by their shapes")
              .choices({"auto", "openpose", "heatmap", "list"}),
          param("minimum-points", &P::minimum_points, "persons with fewer points are left out").range(1, 512),
          param("attribute-name", &P::attribute_name, "name of the result"),
          param("layer-name", &P::layer_name, "which output has the points; empty: found by shape"),
      }),
      .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
        return std::make_unique<TensorPostprocHumanPose>(params.as<P>());
      },
  };
}());

}  // namespace
}  // namespace sightglass
