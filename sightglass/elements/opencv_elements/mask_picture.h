// Masks (AttributeKind::mask) as OpenCV sees them.
#pragma once

#include <opencv2/core.hpp>

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"
#include "sightglass/memory/mapping.h"

namespace sightglass {

// The mask called `name`; null: there is none.
const Attribute* find_mask(const AttributesRef& attributes, std::string_view name);

// The part of the frame that the mask covers, 0..1; empty when what it says is no place.
Box covered(const Attribute& mask);

// The cells of a mask, looked at as a matrix: CV_32F scores or CV_8U label ids. Fails for anything else.
class MaskCells {
 public:
  static Result<MaskCells> open(const Attribute& mask);
  const cv::Mat& mat() const { return mat_; }
  bool has_scores() const { return mat_.type() == CV_32F; }

 private:
  Mapping mapping_;
  cv::Mat mat_;
};

// Whether cells of this id belong to nothing: 255, and classes called background.
bool is_background(const Attribute& mask, uint8_t label_id);

// 255 where the mask's object is, 0 elsewhere, for the pixels `part` of a picture of this size. Scores are
// interpolated between cells; label ids are not. `scratch` is reused.
void foreground(const Attribute& mask, const MaskCells& cells, double threshold, cv::Size picture,
                const cv::Rect& part, cv::Mat& scratch, cv::Mat& out);

// Pixels that `box` touches, within the picture.
cv::Rect pixels_of(const Box& box, cv::Size picture);

}  // namespace sightglass
