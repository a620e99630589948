// Reads boxes that a detector has already decoded, a row for each.
//
// in   tensors with rows of one of these kinds, or of what the -index and -offset parameters say:
//        […,7]  image, class, score, x1 y1 x2 y2 (SSD)
//        […,6]  x1 y1 x2 y2, score, class
//        […,5]  x1 y1 x2 y2, score; classes in another tensor
//        […,4]  x1 y1 x2 y2; scores (one, or one per class) and classes in other tensors
// out  one region per row that passes, best first, in 0..1 of the model input
//
// Rows that are no box (not finite, no area), of another image of the batch, or of the class "background" do
// not count; SSD rows end with the first negative image. One stream, one thread; no allocation once warm.
#pragma once

#include <string>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/detection/candidates.h"
#include "sightglass/elements/detection/labels.h"
#include "sightglass/elements/detection/model_outputs.h"

namespace sightglass {

class TensorPostprocDetection final : public TransformInplace {
 public:
  enum class BoxFormat { automatic, xyxy, cxcywh };
  enum class BoxUnits { automatic, unit, pixel };

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
    unsigned input_width = 0, input_height = 0;  // of the model, pixels; 0: unknown
  };

  explicit TensorPostprocDetection(const Params& params) : params_(params) {}

  Status start() override;
  void update(const ParamSet& params) override;
  Status configure(const Format& input, const Format& output) override;
  Result<Verdict> process(Frame& frame) override;

 private:
  // Where a value of a row stands; no tensor: nowhere.
  struct Column {
    int tensor = -1, offset = 0;
  };
  struct Rows {
    const float* data = nullptr;
    size_t stride = 0;  // values per row
  };

  Status find_columns(const TensorsInfo& outputs);
  Status check_column(const TensorsInfo& outputs, const char* name, const Column& column, int width) const;
  Result<Rows> rows_of(const Frame& frame, const Column& column, size_t count, int width, size_t which);

  Params params_;
  LabelList labels_;
  Label model_;
  Column box_, confidence_, label_, image_;
  bool batched_ = false;          // the box tensor has an axis of samples
  bool best_of_classes_ = false;  // the confidence tensor has a score per class, and there is no label tensor
  BoxScale scale_;

  Values<float> values_[4];  // box, confidence, label, image; mapped while a frame is read
  std::vector<float> scratch_[4];
  std::vector<Candidate> candidates_;
  Suppression suppression_;
};

}  // namespace sightglass
