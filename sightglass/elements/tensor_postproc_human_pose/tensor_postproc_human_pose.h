// Turns the output of a pose estimator into persons with points.
//
// in   openpose   two maps: a heat map per kind of point [1,K,h,w] (an additional one is the background), and
//                 two part-affinity maps per link [1,2L,h,w]; any number of persons
//      heatmap    one heat map per point [1,K,h,w]: the one person of the picture or region (HRNet)
//      list       y, x, score of each point, 0..1 of the model input [1,1,K,3]; or several persons
//      [1,P,3K+5],
//                 the points followed by y1, x1, y2, x2 and a score (MoveNet)
// out  one object per person: a box around its points, the mean of their scores as confidence, and the
//      attribute `attribute-name` of kind keypoints. A point below the threshold is missing: x = y = -1.
//      Where the frame is a region and the mode knows one person only, the points become that object's.
//
// `point-names` are the names in order, `point-connections` pairs of them: the skeleton, for drawing, and in
// the mode openpose for what the part-affinity maps mean, two for each pair. Without them 17 points are
// COCO's, and 18 points OpenPose's, whose part-affinity maps have an order of their own.
//
// One stream, one thread; allocates nothing but the results.
#pragma once

#include <string>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/detection/labels.h"
#include "sightglass/elements/detection/model_outputs.h"
#include "sightglass/elements/tensor_postproc_human_pose/openpose.h"

namespace sightglass {

class TensorPostprocHumanPose final : public TransformInplace {
 public:
  enum class Mode { automatic, openpose, heatmap, list };

  struct Params {
    std::vector<std::string> labels;
    std::string labels_file;
    double threshold = 0.2;
    std::vector<std::string> point_names, point_connections;
    Mode mode = Mode::automatic;
    unsigned minimum_points = 3;
    std::string attribute_name = "keypoints";
    std::string layer_name;
  };

  explicit TensorPostprocHumanPose(const Params& params) : params_(params) {}

  Status start() override;
  void update(const ParamSet& params) override { params_.threshold = params.as<Params>().threshold; }
  Status configure(const Format& input, const Format& output) override;
  Result<Verdict> process(Frame& frame) override;

 private:
  Status find_tensors(const TensorsInfo& outputs);
  Status make_legend(size_t points);
  // The largest cell of each map, moved a quarter towards its larger neighbour.
  void read_heatmaps(std::span<const float> maps, Frame& frame);
  void read_list(std::span<const float> values, Frame& frame);
  // Takes points_ (x, y, score). What is below the threshold is removed first.
  void add_person(Frame& frame);
  float threshold() const { return float(params_.threshold); }

  Params params_;
  LabelList labels_;
  Label name_, model_;
  Mode mode_ = Mode::automatic;
  size_t tensor_ = 0, affinity_ = 0;  // the points; the part-affinity maps
  size_t persons_ = 1, point_count_ = 0;
  int64_t height_ = 0, width_ = 0;  // of the maps
  Ref<const Legend> legend_;
  OpenPose openpose_;
  std::vector<PoseLink> links_;
  std::vector<float> scratch_, affinity_scratch_, points_;
};

}  // namespace sightglass
