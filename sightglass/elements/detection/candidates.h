// What every detector's decoder does once it has read its numbers: keep the best boxes and add them to the
// frame.
//
// Candidates are corners in any unit that is the same for all of them (model pixels or 0..1). Non-maximum
// suppression is the greedy one: by falling score, a box goes when it overlaps a better one that was kept by
// more than the threshold. Equal scores keep the order in which they were found, so the result is the same on
// every machine.
//
//   Suppression suppression;                        // one per element, reuses its memory
//   auto kept = suppression.run(candidates, {.iou_threshold = 0.45f});
//   add_regions(kept, scale, labels, model, frame);
//
// Cost: sorting, and one comparison per candidate and kept box of its class; no allocation once warm.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/elements/detection/labels.h"

namespace sightglass {

// No frame carries more objects than this; the best are kept.
inline constexpr unsigned max_frame_objects = 1024;

struct Candidate {
  float x1 = 0, y1 = 0, x2 = 0, y2 = 0;
  float score = 0;
  int32_t class_id = 0;
  uint32_t order = 0;   // place in which it was found
  uint32_t source = 0;  // row or cell of the output that it comes from, where its points or mask lie
  float angle = 0;      // radians, clockwise, about the centre of the box

  float area() const { return (x2 - x1) * (y2 - y1); }
  // Whether it is a box at all: finite, right side out, with some area.
  bool valid() const;
};

struct SuppressionOptions {
  float iou_threshold = 0.5f;  // an overlap above it suppresses; 1 and more: nothing is suppressed
  bool per_class = true;       // only boxes of one class suppress each other
  bool oriented = false;       // overlap of turned boxes, by their Gaussians (below)
  unsigned max_objects = max_frame_objects;
};

// How much two turned boxes overlap, 0..1: one minus the Hellinger distance of the Gaussians that have the
// boxes' covariance, as the networks with oriented boxes are trained and judged (Llerena et al., "Gaussian
// Bounding Boxes and Probabilistic Intersection-over-Union for Object Detection", 2021). Twice the cost of a
// plain one, and smooth where corners would have to be cut.
float oriented_overlap(const Candidate& a, const Candidate& b);

// The Gaussian of a turned box: its covariance [a c; c b] and its middle.
struct OrientedShape {
  explicit OrientedShape(const Candidate& box);
  double a, b, c, determinant, x, y;
};

class Suppression {
 public:
  // The candidates that stay, best first. Sorts `candidates`; the result is valid until the next call.
  std::span<const Candidate> run(std::vector<Candidate>& candidates, const SuppressionOptions& options);

 private:
  std::vector<Candidate> kept_;
  std::vector<OrientedShape> shapes_;  // of those kept, where boxes are turned
};

// Appends the candidate if it is a valid box, and numbers it.
void add_candidate(std::vector<Candidate>& candidates, Candidate candidate);

// From the candidates' unit to 0..1 of the model input.
struct BoxScale {
  float x = 1, y = 1;
};

// Adds one region per candidate, with the label of its class.
void add_regions(std::span<const Candidate> candidates, BoxScale scale, const LabelList& labels, Label model,
                 Frame& frame);

}  // namespace sightglass
