// Reads detectors whose cells tell the distances from their centre to the four sides of a box: PicoDet and
// NanoDet, where each distance is a distribution over a few bins (generalised focal loss), and SCRFD, where
// it is a plain number and landmarks come along.
//
// in   per stride class scores [1,n,C] and distances [1,n,4·bins], perhaps landmarks [1,n,2·K]; or all in one
//      [1,N,C+4·bins]; also without the axis of samples, and as grids [1,C,height,width]
// out  one region per object, best first, in 0..1 of the model input, with its attribute `landmarks`
//
//   left = Σ k · softmax(bins)[k] · stride      x1 = (cell x + offset) · stride − left
//
// One stream, one thread; no allocation once warm but that of the attributes.
#pragma once

#include <string>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/detection/candidates.h"
#include "sightglass/elements/detection/labels.h"
#include "sightglass/elements/detection/model_outputs.h"
#include "sightglass/elements/detection/object_details.h"
#include "sightglass/elements/tensor_postproc_gfl/gfl_layout.h"

namespace sightglass {

class TensorPostprocGfl final : public TransformInplace {
 public:
  struct Params {
    std::vector<std::string> labels;
    std::string labels_file;
    double threshold = 0.4;
    double iou_threshold = 0.5;
    std::vector<int64_t> strides;
    bool landmarks = true;
    double cell_offset = -1;  // of a cell's centre, in cells; -1: by the kind of distances
    bool sigmoid = false;
    unsigned max_objects = 300;
    unsigned input_width = 0, input_height = 0;
  };

  explicit TensorPostprocGfl(const Params& params) : params_(params) {}

  Status start() override;
  void update(const ParamSet& params) override;
  Status configure(const Format& input, const Format& output) override;
  Result<Verdict> process(Frame& frame) override;

 private:
  struct Level {
    GflLevel at;
    uint32_t first_source = 0;
    std::span<const float> points;  // while a frame is read
  };

  Status find_levels(const Frame& frame);
  Status set_layout(GflLayout layout);
  Status decode(const Frame& frame, Level& level);
  std::vector<float> points_of(const Candidate& object) const;
  // Place of the centre of a row's cell, in pixels of the model input.
  std::pair<float, float> centre(const GflLevel& level, int64_t row) const;

  Params params_;
  GflRequest request_;
  LabelList labels_;
  Label model_;
  TensorsInfo outputs_;
  Ref<const Legend> legend_;
  std::vector<Shape> shapes_;  // for which the levels were found
  std::vector<Level> levels_;
  float width_ = 0, height_ = 0, offset_ = 0.5f;
  std::vector<CellRows> rows_;
  OutputReader reader_;
  std::vector<Candidate> candidates_;
  Suppression suppression_;
};

}  // namespace sightglass
