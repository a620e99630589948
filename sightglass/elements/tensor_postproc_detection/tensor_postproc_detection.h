// Reads boxes that a detector has already decoded, a row for each.
//
// in   tensors with rows of one of these kinds, or of what the -index and -offset parameters say:
//        […,7]    image, class, score, x1 y1 x2 y2 (SSD)
//        […,6]    x1 y1 x2 y2, score, class
//        […,5]    x1 y1 x2 y2, score; classes in another tensor
//        […,4]    x1 y1 x2 y2; scores (one, or one per class) and classes in other tensors; with logits of
//        the
//                 classes (DETR and kin) cx cy w h
//        […,4+C]  cx cy w h, C class scores, where there are C labels
//      and masks: a picture per row, or per row and class, of the box or of the whole model input
// out  one region per row that passes, best first, in 0..1 of the model input; with masks its attribute
// `mask`
//
// Rows that are no box (not finite, no area), of another image of the batch, or of the class "background" do
// not count; SSD rows end with the first negative image. One stream, one thread; no allocation once warm but
// that of the attributes.
#pragma once

#include <string>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/detection/candidates.h"
#include "sightglass/elements/detection/labels.h"
#include "sightglass/elements/detection/model_outputs.h"
#include "sightglass/elements/detection/object_details.h"
#include "sightglass/elements/tensor_postproc_detection/detection_layout.h"

namespace sightglass {

class TensorPostprocDetection final : public TransformInplace {
 public:
  struct Params {
    std::vector<std::string> labels;
    std::string labels_file;
    double threshold = 0.5;
    // Which tensor, and which column of its rows; -1: found by shape.
    int box_index = -1, confidence_index = -1, label_index = -1, imageid_index = -1, mask_index = -1;
    int box_offset = -1, confidence_offset = -1, label_offset = -1, imageid_offset = -1;
    double iou_threshold = 0;  // 0: no suppression
    BoxFormat box_format = BoxFormat::automatic;
    BoxUnits box_units = BoxUnits::automatic;
    ScoreActivation activation = ScoreActivation::automatic;
    MaskExtent mask_extent = MaskExtent::automatic;
    unsigned input_width = 0, input_height = 0;  // of the model, pixels; 0: unknown
  };

  explicit TensorPostprocDetection(const Params& params) : params_(params) {}

  Status start() override;
  void update(const ParamSet& params) override;
  Status configure(const Format& input, const Format& output) override;
  Result<Verdict> process(Frame& frame) override;

 private:
  struct Rows {
    const float* data = nullptr;
    size_t stride = 0;  // values per row
    size_t width = 0;   // of these, from `data` to the end of the row
  };

  Result<Rows> rows_of(const Frame& frame, const DetectionColumn& column, size_t count, int width,
                       size_t which);
  // The best class of a row and its score; false: none.
  bool classify(const float* scores, size_t classes, Candidate& candidate) const;
  Status add_masks(const Frame& frame, size_t rows, std::span<const Candidate> kept,
                   std::span<Region> regions);

  Params params_;
  LabelList labels_;
  Label model_;
  DetectionLayout layout_;
  BoxScale scale_;

  Values<float> values_[5];  // box, confidence, label, image, mask; mapped while a frame is read
  std::vector<float> scratch_[5];
  std::vector<Candidate> candidates_;
  Suppression suppression_;
  MaskMemory mask_memory_;
};

}  // namespace sightglass
