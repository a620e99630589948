// Turns maps into masks, or into objects.
//
//   semantic  A map of class ids, or a map of scores per class, becomes the attribute `mask` of the frame, or
//             of the object that the frame was cut to: u8 ids [h,w], 255 = none, with the class names as
//             legend. The best class of each cell counts. A single map of scores becomes a soft mask, f32.
//   instance  A map of scores per object, [1,N,h,w], with or without scores and class ids [1,N]: an object
//   for
//             each, with the box around its cells of at least 0.5 and its mask. (Prototype masks belong to
//             the decoder that has their boxes: yolo with task=seg.)
//   boxes     A map of scores, as text detectors give it: an object around each blob of connected cells. It
//   is
//             an oriented one where that makes it clearly smaller.
//
// auto means semantic, or instance where there are several outputs. `threshold` is the least score of a cell
// (boxes) or of an object (instance). Sizes are cells of the map. One stream, one thread; allocates nothing
// but the results, masks come from a pool.
#pragma once

#include <string>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/detection/labels.h"
#include "sightglass/elements/detection/model_outputs.h"
#include "sightglass/elements/detection/object_details.h"
#include "sightglass/elements/tensor_postproc_segmentation/blobs.h"

namespace sightglass {

class TensorPostprocSegmentation final : public TransformInplace {
 public:
  enum class Mode { automatic, semantic, instance, boxes };

  struct Params {
    std::vector<std::string> labels;
    std::string labels_file;
    double threshold = 0.5;
    Mode mode = Mode::automatic;
    double minimum_side = 5;
    double box_expand = 1;
    double box_threshold = 0;
    std::string layer_name;
  };

  explicit TensorPostprocSegmentation(const Params& params) : params_(params) {}

  Status start() override;
  void update(const ParamSet& params) override;
  Status configure(const Format& input, const Format& output) override;
  Result<Verdict> process(Frame& frame) override;

 private:
  Status find_axes(const TensorsInfo& outputs);
  Status class_map(std::span<const float> values, Frame& frame);
  Status soft_mask(std::span<const float> values, Frame& frame);
  Status instances(std::span<const float> values, Frame& frame);
  void boxes(std::span<const float> values, Frame& frame);

  Params params_;
  LabelList labels_;
  Ref<const Legend> legend_;
  Label model_;
  Mode mode_ = Mode::automatic;
  size_t tensor_ = 0;
  int scores_ = -1, classes_ = -1;  // further outputs of instance
  int64_t channels_ = 1, height_ = 0, width_ = 0;
  bool ids_ = false, channels_last_ = false;
  BlobFinder blobs_;
  MaskMemory masks_;
  Ref<SystemMemoryPool> pool_;  // of class maps
  std::vector<float> scratch_, best_, object_scores_, object_classes_;
  std::vector<Region> found_;
};

}  // namespace sightglass
