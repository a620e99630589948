// Parameters of opencv_find_contours; the element itself lies in the module opencv-elements.
#pragma once

#include <string>

namespace sightglass {

struct OpencvFindContoursParams {
  std::string mask_metadata_name = "mask";
  std::string contour_metadata_name = "contour";
  double threshold = 0.5;  // least score of a cell that is inside
};

}  // namespace sightglass
