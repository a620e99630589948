#include "sightglass/elements/opencv_object_association/tracker.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sightglass {
namespace {

constexpr float impossible = std::numeric_limits<float>::infinity();
// ByteTrack's limit for doubtful detections, which may only go on with what was there a moment ago.
constexpr float max_doubtful_distance = 0.5f;
// A young detection that covers a tracked one is the same object, found twice.
constexpr float double_overlap = 0.7f;

bool usable(const Box& box) {
  return box.w > 0 && box.h > 0 && std::isfinite(box.x) && std::isfinite(box.y) && std::isfinite(box.w) &&
         std::isfinite(box.h);
}

float ratio_inside(const Box& box, const Box& picture) {
  const float w = std::min(box.right(), picture.right()) - std::max(box.x, picture.x);
  const float h = std::min(box.bottom(), picture.bottom()) - std::max(box.y, picture.y);
  return w > 0 && h > 0 && box.area() > 0 ? w * h / box.area() : 0;
}

Box with_margin(const Box& box) { return {box.x - box.w / 2, box.y - box.h / 2, 2 * box.w, 2 * box.h}; }

// An object that is overlooked is believed to be where it is expected for as long as a guess of constant
// speed holds, and only after it has been seen often: a false alarm must not be drawn out.
constexpr float believed_seconds = 0.5f;
constexpr unsigned hits_per_guess = 5;
bool is_believed(const Track& track) {
  return track.overlooked * hits_per_guess <= track.hits && track.overlooked_seconds <= believed_seconds;
}

float cosine_distance(std::span<const float> a, std::span<const float> b) {
  float product = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) product += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
  return aa > 0 && bb > 0 ? std::clamp(1 - product / std::sqrt(aa * bb), 0.0f, 1.0f) : 1;
}

// Of histograms, which need not be normalised: Hellinger's form, 0 for equal ones and 1 for those that share
// nothing.
float bhattacharyya_distance(std::span<const float> a, std::span<const float> b) {
  float common = 0, sum_a = 0, sum_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    common += std::sqrt(std::max(a[i] * b[i], 0.0f));
    sum_a += std::abs(a[i]), sum_b += std::abs(b[i]);
  }
  return sum_a > 0 && sum_b > 0 ? std::sqrt(std::max(1 - common / std::sqrt(sum_a * sum_b), 0.0f)) : 1;
}

}  // namespace

Tracker::Tracker(const TrackerParams& params) : params_(params) {
  params_.feature_history = std::max(params_.feature_history, 1u);
  params_.min_hits = std::max(params_.min_hits, 1u);
}

void Tracker::reset() {
  for (State& state : states_) state.live = false;
}

std::span<const Track> Tracker::update(std::span<const Detection> detections, float seconds,
                                       const Box& picture) {
  seconds = std::clamp(std::isfinite(seconds) ? seconds : 0.0f, 0.0f, 2.0f);
  predict(seconds);
  taken_.assign(detections.size(), 0);
  for (size_t i = 0; i < detections.size(); ++i) taken_[i] = !usable(detections[i].box);

  const bool byte = params_.algorithm == TrackAlgorithm::byte;
  const auto candidates = [&](auto track_filter, auto detection_filter) {
    free_tracks_.clear(), free_detections_.clear();
    for (size_t i = 0; i < states_.size(); ++i)
      if (states_[i].live && states_[i].track.detection < 0 && track_filter(states_[i]))
        free_tracks_.push_back(int(i));
    for (size_t i = 0; i < detections.size(); ++i)
      if (!taken_[i] && detection_filter(detections[i])) free_detections_.push_back(int(i));
  };
  const auto known = [](const State& state) { return state.track.id != 0; };
  const auto current = [&](const State& state) { return state.track.misses <= params_.max_age; };
  const auto sure = [&](const Detection& detection) {
    return !byte || detection.score >= params_.sure_score;
  };
  const auto any = [](const auto&) { return true; };
  const Cost cost =
      params_.algorithm == TrackAlgorithm::association ? &Tracker::weighted_cost : &Tracker::overlap_cost;

  candidates([&](const State& state) { return current(state) && (!byte || known(state)); }, sure);
  associate(detections, cost, params_.max_iou_distance);
  if (byte) {
    candidates([&](const State& state) { return known(state) && state.track.misses == 1; }, any);
    associate(detections, cost, std::min(params_.max_iou_distance, max_doubtful_distance));
    candidates([&](const State& state) { return known(state) && current(state); }, sure);
    associate(detections, &Tracker::nearby_cost, params_.max_iou_distance);
    candidates([&](const State& state) { return !known(state); }, sure);
    associate(detections, cost, params_.max_iou_distance);
  }
  if (params_.reid_max_age > 0 && params_.feature_distance != FeatureDistance::none) {
    candidates([&](const State& state) { return known(state) && state.track.misses <= params_.reid_max_age; },
               sure);
    associate(detections, &Tracker::look_cost, params_.max_feature_distance);
  }

  bool any_detection = false;
  for (const Detection& detection : detections) any_detection |= usable(detection.box);
  for (State& state : states_) {
    if (!state.live) continue;
    if (any_detection && state.track.misses > 0) {
      ++state.track.overlooked;
      state.track.overlooked_seconds += seconds;
    }
    if (ends(state, any_detection, picture)) state.live = false;
  }

  order_.clear();
  for (size_t i = 0; i < detections.size(); ++i)
    if (!taken_[i] && sure(detections[i])) order_.push_back(int(i));
  if (params_.max_objects > 0)
    std::ranges::sort(order_, [&](int a, int b) {
      return detections[a].score != detections[b].score ? detections[a].score > detections[b].score : a < b;
    });
  for (const int index : order_) begin(detections[index], index);

  result_.clear();
  for (const State& state : states_)
    if (state.live && state.track.id != 0 && current(state) && is_believed(state.track))
      result_.push_back(state.track);
  return result_;
}

// Every track is unmatched and one frame older until an association says otherwise.
void Tracker::predict(float seconds) {
  for (State& state : states_) {
    if (!state.live) continue;
    Track& track = state.track;
    if (params_.algorithm != TrackAlgorithm::iou) {
      state.motion.predict(seconds, track.misses == 0, params_.noise);
      track.box = state.motion.box();
    }
    track.detection = -1;
    ++track.misses;
  }
}

void Tracker::associate(std::span<const Detection> detections, Cost cost, float limit) {
  if (free_tracks_.empty() || free_detections_.empty()) return;
  const size_t columns = free_detections_.size();
  costs_.resize(free_tracks_.size() * columns);
  for (size_t row = 0; row < free_tracks_.size(); ++row) {
    const State& state = states_[free_tracks_[row]];
    for (size_t column = 0; column < columns; ++column) {
      const Detection& detection = detections[free_detections_[column]];
      const bool other = params_.per_class && !(detection.label == state.label);
      costs_[row * columns + column] = other ? impossible : (this->*cost)(state, detection);
    }
  }
  const auto column_of = assignment_.solve(int(free_tracks_.size()), int(columns), costs_, limit);
  for (size_t row = 0; row < column_of.size(); ++row) {
    if (column_of[row] == Assignment::none) continue;
    const int index = free_detections_[column_of[row]];
    taken_[index] = 1;
    match(states_[free_tracks_[row]], detections[index], index);
  }
}

void Tracker::match(State& state, const Detection& detection, int index) {
  Track& track = state.track;
  if (params_.algorithm == TrackAlgorithm::iou) {
    track.box = detection.box;
  } else if (track.misses > params_.max_age) {  // found again by its look, perhaps far away
    state.motion = Motion(detection.box, params_.noise);
    track.box = detection.box;
  } else {
    state.motion.correct(detection.box, params_.noise);
    track.box = state.motion.box();
  }
  state.label = detection.label;
  track.score = detection.score;
  track.detection = index;
  track.misses = track.overlooked = 0;
  track.overlooked_seconds = 0;
  if (++track.hits >= params_.min_hits && track.id == 0) track.id = next_id_++;
  remember(state, detection.feature);
}

void Tracker::begin(const Detection& detection, int index) {
  for (const State& state : states_)
    if (state.live && state.track.detection >= 0 && (!params_.per_class || state.label == detection.label) &&
        iou(state.track.box, detection.box) > double_overlap)
      return;
  const int slot = free_slot();
  if (slot < 0) return;
  State& state = states_[slot];
  state.live = true;
  state.track = {.box = detection.box, .slot = slot};
  state.motion = Motion(detection.box, params_.noise);
  state.feature_count = state.feature_next = 0;
  match(state, detection, index);
}

int Tracker::free_slot() {
  size_t live = 0, lost_longest = 0;
  int free = -1;
  for (size_t i = 0; i < states_.size(); ++i) {
    if (!states_[i].live) {
      if (free < 0) free = int(i);
      continue;
    }
    ++live;
    const State& longest = states_[lost_longest];
    if (!longest.live || states_[i].track.misses > longest.track.misses) lost_longest = i;
  }
  if (params_.max_objects > 0 && live >= params_.max_objects)
    return states_[lost_longest].track.misses > 0 ? int(lost_longest) : -1;
  if (free >= 0) return free;
  states_.emplace_back();
  return int(states_.size()) - 1;
}

bool Tracker::ends(const State& state, bool any_detection, const Box& picture) const {
  const Track& track = state.track;
  if (track.misses == 0) return false;
  if (track.id == 0) return any_detection || track.misses > params_.max_age;
  if (track.misses > std::max(params_.max_age, params_.reid_max_age)) return true;
  const bool may_return = track.misses <= params_.reid_max_age && state.feature_count > 0;
  return picture.area() > 0 && !may_return && ratio_inside(track.box, picture) < params_.min_ratio_inside;
}

void Tracker::remember(State& state, std::span<const float> feature) const {
  if (feature.empty() || params_.feature_distance == FeatureDistance::none) return;
  if (feature.size() != state.feature_length) {
    state.feature_length = feature.size();
    state.feature_count = state.feature_next = 0;
    state.features.resize(feature.size() * params_.feature_history);
  }
  std::ranges::copy(feature, state.features.begin() + state.feature_next * state.feature_length);
  state.feature_next = (state.feature_next + 1) % params_.feature_history;
  state.feature_count = std::min<size_t>(state.feature_count + 1, params_.feature_history);
}

// To the nearest one remembered; negative: not comparable.
float Tracker::feature_distance(const State& state, std::span<const float> feature) const {
  if (params_.feature_distance == FeatureDistance::none || feature.empty() || state.feature_count == 0 ||
      feature.size() != state.feature_length)
    return -1;
  float nearest = impossible;
  for (size_t i = 0; i < state.feature_count; ++i) {
    const std::span<const float> past(state.features.data() + i * state.feature_length, state.feature_length);
    nearest = std::min(nearest, params_.feature_distance == FeatureDistance::cosine
                                    ? cosine_distance(past, feature)
                                    : bhattacharyya_distance(past, feature));
  }
  return nearest;
}

float Tracker::overlap_cost(const State& state, const Detection& detection) const {
  const float cost = 1 - iou(state.track.box, detection.box);
  if (cost >= params_.max_iou_distance || detection.feature.empty()) return cost;
  return feature_distance(state, detection.feature) > params_.max_feature_distance ? impossible : cost;
}

// Objects that turn or stop while they are hidden come back beside their prediction: the overlap of both
// boxes with a margin around them.
float Tracker::nearby_cost(const State& state, const Detection& detection) const {
  const float cost = 1 - iou(with_margin(state.track.box), with_margin(detection.box));
  if (cost >= params_.max_iou_distance || detection.feature.empty()) return cost;
  return feature_distance(state, detection.feature) > params_.max_feature_distance ? impossible : cost;
}

// Differences of 0..1 in shape, place and look, weighted; a track without a feature is judged by the other
// two.
float Tracker::weighted_cost(const State& state, const Detection& detection) const {
  const Box &a = state.track.box, &b = detection.box;
  const float w = std::max(a.w, b.w), h = std::max(a.h, b.h);
  if (!(w > 0 && h > 0)) return impossible;
  const float shape = 1 - std::min(a.w, b.w) / w * (std::min(a.h, b.h) / h);
  const float dx = (a.x + a.w / 2 - b.x - b.w / 2) / w, dy = (a.y + a.h / 2 - b.y - b.h / 2) / h;
  const float away = std::sqrt(dx * dx + dy * dy);
  if (away >= 1) return impossible;  // further than its own size
  float sum = params_.shape_weight * shape + params_.trajectory_weight * away;
  float weights = params_.shape_weight + params_.trajectory_weight;
  if (const float look = feature_distance(state, detection.feature); look >= 0) {
    sum += params_.spatial_weight * look;
    weights += params_.spatial_weight;
  }
  return weights > 0 ? sum / weights : away;
}

float Tracker::look_cost(const State& state, const Detection& detection) const {
  const float distance = feature_distance(state, detection.feature);
  return distance < 0 ? impossible : distance;
}

}  // namespace sightglass
