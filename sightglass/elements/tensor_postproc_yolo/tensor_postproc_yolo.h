// Reads the outputs of YOLO networks without anchors: X, v8 to v11 (head v8), v10 and v26 (head end2end);
// boxes only.
//
// in   tensors, one of them [1, N, 5+C] (x), [1, 4+C, N] (v8) or [1, N, 6] (end2end)
// out  one region per object, best first, in 0..1 of the model input
//
// The head is found by shape unless `head` or `version` says it. The size of the model input follows from N
// where the input is square, otherwise input-width and input-height have to be given. One stream, one thread;
// no allocation once warm.
#pragma once

#include <string>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/detection/candidates.h"
#include "sightglass/elements/detection/labels.h"
#include "sightglass/elements/detection/model_outputs.h"
#include "sightglass/elements/tensor_postproc_yolo/yolo_heads.h"

namespace sightglass {

class TensorPostprocYolo final : public TransformInplace {
 public:
  enum class Head { automatic, anchor, x, v8, end2end };
  enum class Task { automatic, box, obb, pose, seg };

  struct Params {
    std::vector<std::string> labels;
    std::string labels_file;
    double threshold = 0.5;
    int version = 0;
    std::vector<double> anchors;
    std::vector<int64_t> masks;
    double iou_threshold = 0.5;
    bool do_cls_softmax = true, output_sigmoid_activation = true;  // of anchor heads
    int cells_number = 0, cells_number_x = 0, cells_number_y = 0, bbox_number_on_cell = 0;
    int classes = 0;
    bool nms = true, nms_per_class = true;
    Head head = Head::automatic;
    Task task = Task::automatic;
    unsigned max_objects = 300;
    unsigned keypoints = 0;
    unsigned input_width = 0, input_height = 0;
  };

  explicit TensorPostprocYolo(const Params& params) : params_(params) {}

  Status start() override;
  void update(const ParamSet& params) override;
  Status configure(const Format& input, const Format& output) override;
  Result<Verdict> process(Frame& frame) override;

 private:
  Status find_head(const TensorsInfo& outputs);
  Status find_classes(const TensorsInfo& outputs);
  // Makes size_ and with_p6_ fit the number of cells.
  Status find_size(int64_t cells);

  Params params_;
  LabelList labels_;
  Label model_;
  Head head_ = Head::automatic;
  int tensor_ = 0;
  int64_t rows_ = -1, columns_ = -1;  // of the tensor as agreed, -1 where free
  int64_t classes_ = 0;               // 0: as many as the tensor has
  int64_t cells_ = -1;                // for which the next two were found
  InputSize size_;
  bool with_p6_ = false;

  std::vector<float> scratch_;
  std::vector<Candidate> candidates_;
  Suppression suppression_;
};

}  // namespace sightglass
