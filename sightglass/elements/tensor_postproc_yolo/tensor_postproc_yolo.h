// Reads the outputs of the YOLO networks: with anchors (v2 to v5, v7), X, v8 to v12, and the end-to-end heads
// of v10 and v26; boxes, oriented boxes, keypoints, masks.
//
// in   tensors: grids or rows [1, N, 5+C] (anchor), [1, N, 5+C] (x), [1, 4+C, N] (v8), [1, N, 6] (end2end);
//      a task adds numbers to each box, and seg a tensor of prototypes [1, K, height, width]
// out  one region per object, best first, in 0..1 of the model input; its angle (obb), its attributes
//      `keypoints` (pose, or `keypoints` of them) and `mask` (seg: the part of the prototypes' grid in its
//      box)
//
// The head is found by shape unless `head` or `version` says it. The size of the model input follows from the
// output where the input is square, otherwise input-width and input-height have to be given. Suppression runs
// over the boxes of all grids together. Outputs that lie on a CUDA device stay there: what comes to the CPU
// are the objects (detection/device_boxes.h). One stream, one thread; no allocation once warm but that of the
// attributes.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/detection/candidates.h"
#include "sightglass/elements/detection/labels.h"
#include "sightglass/elements/detection/model_outputs.h"
#include "sightglass/elements/detection/object_details.h"
#include "sightglass/elements/tensor_postproc_yolo/yolo_device.h"
#include "sightglass/elements/tensor_postproc_yolo/yolo_layout.h"

namespace sightglass {

class TensorPostprocYolo final : public TransformInplace {
 public:
  struct Params {
    std::vector<std::string> labels;
    std::string labels_file;
    double threshold = 0.5;
    int version = 0;
    std::vector<double> anchors;  // pixels
    std::vector<int64_t> masks;   // which of them, smallest grid first
    double iou_threshold = 0.5;
    bool do_cls_softmax = true, output_sigmoid_activation = true;  // of grids with anchors
    int cells_number = 0, cells_number_x = 0, cells_number_y = 0, bbox_number_on_cell = 0;
    int classes = 0;
    bool nms = true, nms_per_class = true;
    YoloHead head = YoloHead::automatic;
    YoloTask task = YoloTask::automatic;
    unsigned max_objects = 300;
    unsigned keypoints = 0;
    unsigned input_width = 0, input_height = 0;
  };

  explicit TensorPostprocYolo(const Params& params) : params_(params) {}

  Status start() override;
  std::vector<std::string> take_warnings() override { return std::exchange(warnings_, {}); }
  void update(const ParamSet& params) override;
  Status configure(const Format& input, const Format& output) override;
  Result<Verdict> process(Frame& frame) override;

 private:
  struct Layer {  // one grid of an anchor head
    int tensor = 0;
    Shape shape;  // for which `grid` was found
    AnchorGrid grid;
    AnchorRules rules;
    uint32_t first_source = 0;
    Values<float> values;  // mapped while a frame is read
    std::vector<float> scratch;
  };

  // Makes size_ and with_p6_ fit the number of boxes.
  Status find_size(int64_t boxes);
  Status set_anchors();
  Status fit_layers(const Frame& frame);
  // The outputs of this frame, all that is read of them but their numbers; none: there are no boxes.
  Status find_outputs(const Frame& frame);
  // Those that stay, on the device where the outputs lie there.
  Status find_objects(const Frame& frame);
  Result<bool> find_on_device();
  Status read_grids();
  Status read_rows();
  Status add_details(const Frame& frame, std::span<Region> regions);
  // `count` numbers of one that stays, as they are in its output.
  std::span<const float> numbers_of(size_t object, int64_t first, int64_t count);
  std::vector<float> points_of(size_t object);
  const Layer& layer_of(uint32_t source) const;
  SuppressionOptions suppression_options() const;
  void unmap();

  Params params_;
  YoloRequest request_;
  LabelList labels_;
  Label model_;
  Ref<const Legend> legend_;  // of the keypoints
  YoloLayout layout_;
  Shape agreed_;  // of the tensor with rows, -1 where free

  int64_t numbers_ = -1;  // of a box, for which the next was found
  YoloEntries entries_;
  int64_t boxes_ = -1;  // for which the next two were found
  InputSize size_;
  bool with_p6_ = false;

  std::vector<float> anchors_;  // of all layers, in pixels, smallest grid first
  std::vector<Layer> layers_;   // smallest grid first

  std::vector<Tensor> outputs_;  // of the frame: the rows, or the grids in the order of the layers
  Values<float> values_;         // of the rows
  YoloRows rows_;
  std::vector<float> scratch_, prototype_scratch_, numbers_scratch_;
  std::vector<Candidate> candidates_;
  Suppression suppression_;
  DeviceBoxes device_;
  bool is_on_device_ = false;        // where kept_ has been found
  bool is_declined_ = false;         // the kernels do not take what the model gives
  std::span<const Candidate> kept_;  // of the frame
  std::vector<std::string> warnings_;
  MaskMemory mask_memory_;
};

}  // namespace sightglass
