// Parameters of opencv_remove_background; the element itself lies in the module opencv-elements.
#pragma once

#include <string>

namespace sightglass {

struct OpencvRemoveBackgroundParams {
  std::string mask_metadata_name = "mask";
  double threshold = 0.5;  // least score of a pixel that stays
};

}  // namespace sightglass
