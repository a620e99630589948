// Where a detector's outputs hold boxes, scores, classes, places in the batch and masks: by what the
// parameters say, then by names and shapes. Made once per format.
#pragma once

#include "sightglass/core/format.h"
#include "sightglass/core/result.h"

namespace sightglass {

enum class BoxFormat { automatic, xyxy, cxcywh };
enum class BoxUnits { automatic, unit, pixel };
enum class ScoreActivation { automatic, none, sigmoid, softmax };
enum class MaskExtent { automatic, box, input };

// What the parameters say; -1: nothing.
struct DetectionRequest {
  int box_index = -1, confidence_index = -1, label_index = -1, imageid_index = -1, mask_index = -1;
  int box_offset = -1, confidence_offset = -1, label_offset = -1, imageid_offset = -1;
  BoxFormat box_format = BoxFormat::automatic;
  BoxUnits box_units = BoxUnits::automatic;
  ScoreActivation activation = ScoreActivation::automatic;
  MaskExtent mask_extent = MaskExtent::automatic;
  unsigned input_width = 0, input_height = 0;  // of the model, pixels; 0: unknown
  int64_t labels = 0;                          // how many names there are
  int64_t background = -1;                     // which of them is none
};

// Where a value of a row stands; no tensor: nowhere.
struct DetectionColumn {
  int tensor = -1, offset = 0;
};

struct DetectionLayout {
  DetectionColumn box, confidence, label, image;
  int mask = -1;                 // tensor; -1: none
  bool batched = false;          // the box tensor has an axis of samples
  bool score_per_class = false;  // from `confidence` to the end of the row, instead of a label
  ScoreActivation activation = ScoreActivation::none;
  int64_t background = -1;  // class that is none; -1: all are objects
  bool centred = false;     // boxes are cx cy w h
  bool pixels = false;      // of the model input
  bool mask_is_logit = false;
  bool masks_from_one = false;  // those of classes begin with class 1
  bool mask_of_input = false;   // it covers the whole model input, not the box
};

// An error names the outputs, and which parameter does not fit them.
Result<DetectionLayout> find_detections(const TensorsInfo& outputs, const DetectionRequest& request);

}  // namespace sightglass
