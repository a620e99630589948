// Reads raw SSD heads, whose boxes are relative to anchors: BlazeFace and its kin, RetinaFace, SSD before its
// own post-processing.
//
// in   scores [1,N,C] and boxes [1,N,4], points behind the boxes [1,N,4+2·K] or in a tensor of their own
//      [1,N,2·K]
// out  one region per object, best first, in 0..1 of the model input, with its attribute `keypoints`
//
// Anchors come from `strides` (and `anchor-sizes`) or from `anchor-file`. Two ways to code boxes:
//
//   variances empty   MediaPipe: x = dx / input width · anchor w + anchor x, w = dw / input width · anchor w
//   variances a, b    SSD:       x = dx · a · anchor w + anchor x,           w = exp(dw · b) · anchor w
//
// weighted-nms puts in place of each box the mean of those that it suppresses, by their scores: steadier from
// frame to frame. One stream, one thread; no allocation once warm but that of the attributes.
#pragma once

#include <string>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/detection/candidates.h"
#include "sightglass/elements/detection/labels.h"
#include "sightglass/elements/detection/model_outputs.h"
#include "sightglass/elements/detection/object_details.h"
#include "sightglass/elements/tensor_postproc_ssd_anchor/ssd_anchors.h"

namespace sightglass {

class TensorPostprocSsdAnchor final : public TransformInplace {
 public:
  struct Params {
    std::vector<std::string> labels;
    std::string labels_file;
    double threshold = 0.5;
    double iou_threshold = 0.4;
    std::vector<int64_t> strides;
    std::vector<double> anchor_sizes;  // pixels
    std::string anchor_file;
    std::vector<double> variances;
    unsigned keypoints = 0;
    bool sigmoid = true, softmax = false;
    bool weighted_nms = false;
    unsigned max_objects = 300;
    unsigned input_width = 0, input_height = 0;
  };

  explicit TensorPostprocSsdAnchor(const Params& params) : params_(params) {}

  Status start() override;
  void update(const ParamSet& params) override;
  Status configure(const Format& input, const Format& output) override;
  Result<Verdict> process(Frame& frame) override;

 private:
  Status find_outputs(const TensorsInfo& outputs);
  // The best class of a row and its score; false: none that counts.
  bool classify(const float* scores, Candidate& candidate) const;
  Status decode(const Frame& frame);
  void add_points(const Candidate& candidate, std::vector<float>& triples) const;
  void merge(std::span<const Candidate> all, const Candidate& best, Candidate& merged,
             std::vector<float>& triples) const;

  Params params_;
  LabelList labels_;
  Label model_;
  Ref<const Legend> legend_;
  TensorsInfo outputs_;
  std::vector<Shape> shapes_;  // for which the next were found
  std::vector<SsdAnchor> anchors_, file_anchors_;
  CellRows scores_, boxes_, points_;  // points_ may be the rows of the boxes
  int64_t first_point_ = 0;           // column
  int64_t background_ = -1, first_label_ = 0;

  std::vector<CellRows> rows_;
  OutputReader reader_;
  std::span<const float> box_values_, point_values_;  // while a frame is read
  std::vector<Candidate> candidates_, merged_;
  Suppression suppression_;
};

}  // namespace sightglass
