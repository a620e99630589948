// Reads the outputs of the UltraFace detectors (RFB-320 and its kin), whose boxes come decoded.
//
// in   tensors scores [1, N, 2] (background, face) and boxes [1, N, 4] (x1 y1 x2 y2, 0..1 of the model input)
// out  one region per face, best first; its label is "face" unless `labels` says otherwise
//
// One stream, one thread; no allocation once warm.
#pragma once

#include <string>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/detection/candidates.h"
#include "sightglass/elements/detection/labels.h"
#include "sightglass/elements/detection/model_outputs.h"

namespace sightglass {

class TensorPostprocUltraface final : public TransformInplace {
 public:
  struct Params {
    std::vector<std::string> labels;  // one name, or two with that of the background first
    std::string labels_file;
    double threshold = 0.7;
    double iou_threshold = 0.4;
  };

  explicit TensorPostprocUltraface(const Params& params) : params_(params) {}

  Status start() override;
  void update(const ParamSet& params) override;
  Status configure(const Format& input, const Format& output) override;
  Result<Verdict> process(Frame& frame) override;

 private:
  Params params_;
  LabelList labels_;
  Label model_;
  int scores_ = 0, boxes_ = 1;  // which tensor
  std::vector<float> score_scratch_, box_scratch_;
  std::vector<Candidate> candidates_;
  Suppression suppression_;
};

}  // namespace sightglass
