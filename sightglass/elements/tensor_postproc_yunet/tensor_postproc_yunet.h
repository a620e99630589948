// Reads the outputs of the YuNet face detectors.
//
// in   per stride 8, 16, 32 four tensors with a row for each cell: class [1,n,1], objectness [1,n,1], box
//      [1,n,4], points [1,n,10]; in any order, found by shape
// out  one region per face, best first, in 0..1 of the model input, with its attribute `landmarks`: eyes,
// nose
//      and corners of the mouth
//
//   score = √(class · objectness)      x = (cell x + b0) · stride      w = exp(b2) · stride
//
// The model takes any size that is a multiple of 32; input-width and input-height say which one, unless the
// input is square. Outputs that lie on a CUDA device stay there: what comes to the CPU are the faces
// (detection/device_boxes.h). One stream, one thread; no allocation once warm but that of the attributes.
#pragma once

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/detection/candidates.h"
#include "sightglass/elements/detection/device_boxes.h"
#include "sightglass/elements/detection/labels.h"
#include "sightglass/elements/detection/model_outputs.h"
#include "sightglass/elements/detection/object_details.h"

namespace sightglass {

class TensorPostprocYunet final : public TransformInplace {
 public:
  struct Params {
    std::vector<std::string> labels;
    std::string labels_file;
    double threshold = 0.6;
    double iou_threshold = 0.3;
    bool landmarks = true;
    unsigned input_width = 0, input_height = 0;
  };

  explicit TensorPostprocYunet(const Params& params) : params_(params) {}

  Status start() override;
  std::vector<std::string> take_warnings() override { return std::exchange(warnings_, {}); }
  void update(const ParamSet& params) override;
  Status configure(const Format& input, const Format& output) override;
  Result<Verdict> process(Frame& frame) override;

 private:
  struct Level {
    int stride = 0;
    int64_t width = 0, height = 0;  // cells
    // Which tensor; the product of the first two is the square of the score.
    int first = -1, second = -1, box = -1, points = -1;
    uint32_t first_source = 0;
    std::span<const float> point_values;  // while a frame is read
  };

  Status find_levels(const Frame& frame);
  // Whether the outputs lie on a device; then `kept_` has been found there.
  Result<bool> find_on_device(const Frame& frame);
  Status decode(const Frame& frame, Level& level);
  std::vector<float> points_of(size_t face) const;

  Params params_;
  LabelList labels_;
  Label model_;
  TensorsInfo outputs_;
  Ref<const Legend> legend_;
  float width_ = 0, height_ = 0;  // of the model input, pixels
  std::vector<Shape> shapes_;     // for which the levels were found
  std::array<Level, 3> levels_;
  std::vector<CellRows> rows_;
  OutputReader reader_;
  std::vector<Candidate> candidates_;
  Suppression suppression_;
  DeviceBoxes device_;
  std::vector<Tensor> on_device_;  // for their capacity
  bool is_on_device_ = false;
  std::span<const Candidate> kept_;  // of the frame
  std::vector<std::string> warnings_;
};

}  // namespace sightglass
