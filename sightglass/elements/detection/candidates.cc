#include "sightglass/elements/detection/candidates.h"

#include <algorithm>
#include <cmath>

namespace sightglass {
namespace {

float overlap(const Candidate& a, const Candidate& b) {
  const float w = std::min(a.x2, b.x2) - std::max(a.x1, b.x1);
  const float h = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
  if (w <= 0 || h <= 0) return 0;
  const float both = w * h;
  return both / (a.area() + b.area() - both);
}

}  // namespace

bool Candidate::valid() const {
  // A difference of finite numbers may overflow, hence the area is looked at as well. NaN fails every
  // comparison.
  return x2 > x1 && y2 > y1 && std::isfinite(area()) && std::isfinite(x1) && std::isfinite(y1) &&
         std::isfinite(score);
}

void add_candidate(std::vector<Candidate>& candidates, Candidate candidate) {
  if (!candidate.valid()) return;
  candidate.order = uint32_t(candidates.size());
  candidates.push_back(candidate);
}

std::span<const Candidate> Suppression::run(std::vector<Candidate>& candidates,
                                            const SuppressionOptions& options) {
  // Ordered by score and place, which no two share, std::sort is stable in effect and needs no memory.
  std::ranges::sort(candidates, [](const Candidate& a, const Candidate& b) {
    return a.score != b.score ? a.score > b.score : a.order < b.order;
  });
  const size_t most = std::min(options.max_objects, max_frame_objects);
  kept_.clear();
  kept_.reserve(std::min(most, candidates.size()));
  for (const Candidate& candidate : candidates) {
    if (kept_.size() >= most) break;
    const bool suppressed = options.iou_threshold < 1 &&
                            std::ranges::any_of(
                                kept_,
                                [&](const Candidate& better) {
                                  return (!options.per_class || better.class_id == candidate.class_id) &&
                                         overlap(better, candidate) > options.iou_threshold;
                                });
    if (!suppressed) kept_.push_back(candidate);
  }
  return kept_;
}

void add_regions(std::span<const Candidate> candidates, BoxScale scale, const LabelList& labels, Label model,
                 Frame& frame) {
  frame.regions.reserve(frame.regions.size() + candidates.size());
  for (const Candidate& candidate : candidates) {
    Region& region = frame.regions.emplace_back();
    region.box = {candidate.x1 * scale.x, candidate.y1 * scale.y, (candidate.x2 - candidate.x1) * scale.x,
                  (candidate.y2 - candidate.y1) * scale.y};
    region.confidence = candidate.score;
    region.label = labels[candidate.class_id];
    region.label_id = candidate.class_id;
    region.model = model;
  }
}

}  // namespace sightglass
