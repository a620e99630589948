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

// Bhattacharyya's distance of two boxes' Gaussians: of their places, and of their shapes. Not worked out to
// the end where it is no less than `limit` anyway.
double distance(const OrientedShape& p, const OrientedShape& q, double limit) {
  const double a = p.a + q.a, b = p.b + q.b, c = p.c + q.c, both = a * b - c * c;
  const double x = p.x - q.x, y = p.y - q.y;
  if (!(both > 0)) return limit;
  const double place = (a * y * y + b * x * x - 2 * c * x * y) / both / 4;
  if (!(place < limit)) return limit;  // that of the shapes is never negative
  const double alone = std::max(0.0, p.determinant) * std::max(0.0, q.determinant);
  return std::max(0.0, place + std::log(both / (4 * std::sqrt(alone)) + 1e-12) / 2);
}

}  // namespace

OrientedShape::OrientedShape(const Candidate& box) {
  const double w = double(box.x2 - box.x1) * (box.x2 - box.x1) / 12,
               h = double(box.y2 - box.y1) * (box.y2 - box.y1) / 12;
  const double cos = std::cos(box.angle), sin = std::sin(box.angle);
  a = w * cos * cos + h * sin * sin, b = w * sin * sin + h * cos * cos, c = (w - h) * cos * sin;
  determinant = a * b - c * c;
  x = (double(box.x1) + box.x2) / 2, y = (double(box.y1) + box.y2) / 2;
}

float oriented_overlap(const Candidate& a, const Candidate& b) {
  const double apart = distance(OrientedShape(a), OrientedShape(b), 100);
  return float(1 - std::sqrt(1 - std::exp(-std::min(apart, 100.0))));
}

bool Candidate::valid() const {
  // A difference of finite numbers may overflow, hence the area is looked at as well. NaN fails every
  // comparison.
  return x2 > x1 && y2 > y1 && std::isfinite(area()) && std::isfinite(x1) && std::isfinite(y1) &&
         std::isfinite(score) && std::isfinite(angle);
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
  shapes_.clear();
  // How near two Gaussians are whose overlap is the threshold.
  const double apart = 1 - double(options.iou_threshold);
  const double limit = -std::log(std::max(1e-12, 1 - apart * apart));
  const auto other_class = [&](const Candidate& one, const Candidate& two) {
    return options.per_class && one.class_id != two.class_id;
  };
  for (const Candidate& candidate : candidates) {
    if (kept_.size() >= most) break;
    bool suppressed = false;
    if (options.iou_threshold >= 1) {
      // nothing is
    } else if (options.oriented) {
      const OrientedShape shape(candidate);
      for (size_t i = 0; i < kept_.size() && !suppressed; ++i)
        suppressed = !other_class(kept_[i], candidate) && distance(shapes_[i], shape, limit) < limit;
      if (!suppressed) shapes_.push_back(shape);
    } else {
      suppressed = std::ranges::any_of(kept_, [&](const Candidate& better) {
        return !other_class(better, candidate) && overlap(better, candidate) > options.iou_threshold;
      });
    }
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
    region.angle = candidate.angle;
    region.confidence = candidate.score;
    region.label = labels[candidate.class_id];
    region.label_id = candidate.class_id;
    region.model = model;
  }
}

}  // namespace sightglass
