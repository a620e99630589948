// Follows objects from frame to frame by their boxes: the algorithm of opencv_object_association, without
// frames and elements.
//
//   Tracker tracker({.max_age = 20});
//   for (const Track& track : tracker.update(detections, seconds_since_last_frame)) …
//
// Every track predicts its box (motion.h), the predictions are assigned to the detections (assignment.h),
// what is left of the detections begins tracks. Boxes are in any unit that is the same in both directions,
// such as pixels. Not thread-safe. No allocation once warm.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sightglass/core/label.h"
#include "sightglass/core/region.h"
#include "sightglass/elements/opencv_object_association/assignment.h"
#include "sightglass/elements/opencv_object_association/motion.h"

namespace sightglass {

// byte: as in ByteTrack. First the sure detections with all tracks, then the doubtful ones with the tracks
// seen a moment ago; at last, what is left of the sure ones with tracks that they do not quite reach.
enum class TrackAlgorithm : uint8_t {
  byte,
  sort,         // as in SORT: all detections at once
  iou,          // as sort without prediction: a box overlaps its last one
  association,  // weighted sum of the differences in shape, place and feature
};
enum class FeatureDistance : uint8_t { none, cosine, bhattacharyya };

struct TrackerParams {
  TrackAlgorithm algorithm = TrackAlgorithm::byte;
  bool per_class = false;  // a track matches detections of its label only
  unsigned max_age = 120;  // frames unmatched after which a track ends
  // Detections that make a track: before, it has no id and ends with the first frame that misses it.
  unsigned min_hits = 3;
  // Tracks at once; 0: any number. Those lost longest make room, then the surest detections are taken.
  unsigned max_objects = 0;
  float max_iou_distance = 0.7f;
  float sure_score = 0.45f;  // byte: scores from here on are sure, and begin tracks
  // Features: vectors that describe how an object looks.
  FeatureDistance feature_distance = FeatureDistance::bhattacharyya;
  float max_feature_distance = 0.2f;
  unsigned feature_history = 1;  // vectors remembered per track; the nearest counts
  unsigned reid_max_age = 0;  // frames for which a lost track is found again by its feature, wherever it is
  float shape_weight = 0.75f, trajectory_weight = 0.5f, spatial_weight = 0.25f;  // association
  float min_ratio_inside = 0.75f;  // visible part of a predicted box below which its track ends
  MotionNoise noise;
};

struct Detection {
  Box box;
  float score = 1;
  Label label;
  std::span<const float> feature;  // empty: none
};

struct Track {
  int64_t id = 0;           // from 1, never given twice
  Box box;                  // smoothed; of a track that is not seen: predicted
  int detection = -1;       // index of its detection in this frame; -1: not seen
  int slot = 0;             // a small number of its own as long as it lives, for what a caller keeps about it
  float score = 0;          // of the last detection
  unsigned hits = 0;        // detections so far
  unsigned misses = 0;      // frames since the last of them
  unsigned overlooked = 0;  // of these, frames in which anything was detected
  float overlooked_seconds = 0;
};

class Tracker {
 public:
  explicit Tracker(const TrackerParams& params);

  // `seconds` since the previous frame. `picture`: what is visible; an empty box: no limit. A frame without
  // any detection ages the tracks but ends no young one, since it may be one that the detector has skipped.
  // Gives the tracks that have an id; valid until the next call. One that is overlooked while others are
  // detected is given for half a second at most, and for one frame in five of those in which it was seen;
  // then it is left out until it is seen again.
  std::span<const Track> update(std::span<const Detection> detections, float seconds,
                                const Box& picture = {});
  // Forgets all tracks. The next ids go on.
  void reset();

 private:
  struct State {
    bool live = false;
    Track track;
    Label label;
    Motion motion;
    std::vector<float> features;  // ring of `feature_history` vectors, all of one length
    size_t feature_length = 0, feature_count = 0, feature_next = 0;
  };
  using Cost = float (Tracker::*)(const State&, const Detection&) const;

  void predict(float seconds);
  void associate(std::span<const Detection> detections, Cost cost, float limit);
  void match(State& state, const Detection& detection, int index);
  void begin(const Detection& detection, int index);
  int free_slot();
  bool ends(const State& state, bool any_detection, const Box& picture) const;
  void remember(State& state, std::span<const float> feature) const;
  float feature_distance(const State& state, std::span<const float> feature) const;
  float overlap_cost(const State& state, const Detection& detection) const;
  float nearby_cost(const State& state, const Detection& detection) const;
  float weighted_cost(const State& state, const Detection& detection) const;
  float look_cost(const State& state, const Detection& detection) const;

  TrackerParams params_;
  int64_t next_id_ = 1;
  std::vector<State> states_;  // by slot; those not live keep their memory for the next track
  std::vector<int> free_tracks_, free_detections_;  // candidates of the association in progress
  std::vector<char> taken_;                         // by detection
  std::vector<float> costs_;
  std::vector<int> order_;
  Assignment assignment_;
  std::vector<Track> result_;
};

}  // namespace sightglass
