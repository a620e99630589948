// The tracker: gives the objects of a frame the numbers that they had in the frames before. The name is the
// original's; no OpenCV is used.
//
// in, out  frames of any kind; `Region::track` is set, boxes are smoothed (adjust-objects), objects that the
// detector missed are added at
//          their predicted place with the label that they last had (generate-objects)
//
// The algorithm is in tracker.h. Time steps come from the frames' PTS, so dropped frames and any frame rate
// are handled; without PTS the frame rate counts. A young object has no number until `min-hits` detections
// have confirmed it. Numbers count from 1 for each stream and are never given twice, also after a flush.
// With `select` only the objects that it selects are tracked, the others are passed by. With `write-states`
// objects say what their number does not (selection/track_state.h): tentative or lost.
// Nested regions are tracked like others. Boxes that are no boxes (NaN, no area) are passed by. An object
// that is filled in was seen five times as often before as it is missing now, and half a second ago at most.
//
// An object's feature is an attribute of the name that is set, of kind vector, or a float32 tensor. Without a
// name the first attribute that can be a feature is taken.
//
// What it reaches on PETS09-S2L1 by the rules of MOTChallenge, MOTA / IDF1 (SORT: 0.629 / 0.429 and
// 0.680 / 0.568):
//                                                  Faster R-CNN    CenterNet
//   as it is set                                   0.631 / 0.526   0.771 / 0.794
//   generate-objects=false                         0.682 / 0.630   0.739 / 0.761
//   the same with OSNet's embeddings, cosine,
//   max-feature-distance=0.3 feature-history=30    0.687 / 0.703   0.742 / 0.773
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/opencv_object_association/tracker.h"
#include "sightglass/elements/selection/selection.h"
#include "sightglass/memory/mapping.h"

namespace sightglass {

class ObjectAssociation final : public TransformInplace {
 public:
  struct Params {
    bool generate_objects = true;
    bool adjust_objects = true;
    bool tracking_per_class = false;
    std::string spatial_feature_metadata_name = "spatial-feature";
    FeatureDistance spatial_feature_distance = FeatureDistance::bhattacharyya;
    double shape_feature_weight = 0.75, trajectory_feature_weight = 0.5, spatial_feature_weight = 0.25;
    double min_region_ratio_in_boundary = 0.75;
    TrackAlgorithm algorithm = TrackAlgorithm::byte;
    unsigned max_age = 0, min_hits = 0;  // 0: auto
    unsigned max_objects = 0;
    double max_iou_distance = 0.7, max_feature_distance = 0.2;
    unsigned feature_history = 1;
    unsigned reid_max_age = 0;
    std::string object_class;
    std::string select;  // selector, beside object_class; empty: all
    bool write_states = false;
    bool write_roi_meta = false;  // the runtime's part: GstVideoRegionOfInterestMeta as well
  };

  explicit ObjectAssociation(const Params& params);

  void update(const ParamSet& params) override;
  std::vector<std::string> take_warnings() override { return std::exchange(warnings_, {}); }
  Status configure(const Format& input, const Format& output) override;
  Result<Verdict> process(Frame& frame) override;
  void flush() override;

 private:
  // What a track's generated boxes look like.
  struct Likeness {
    Label label, model;
    int32_t label_id = -1;
    float angle = 0;
  };

  float seconds_until(const Frame& frame);
  Status collect(Frame& frame, float width, float height);
  Status find_feature(const Region& region);
  void generate(Frame& frame, const Track& track, const Box& box, size_t detected) const;
  bool wanted(const Frame& frame, const Region& region) const;
  void write_tentative(Frame& frame) const;

  Params params_;
  Label feature_name_;
  std::vector<Label> classes_;  // empty: all
  Selection select_{"select"};
  std::vector<std::string> warnings_;
  AttributesRef lost_, tentative_;  // lists of objects that have nothing else
  Tracker tracker_;
  Format format_;
  Time last_pts_ = no_time;
  std::vector<Detection> detections_;
  std::vector<size_t> region_of_;     // by detection
  std::vector<Mapping> mappings_;     // of the features that are tensors, during a frame
  std::vector<Likeness> likenesses_;  // by Track::slot
};

}  // namespace sightglass
