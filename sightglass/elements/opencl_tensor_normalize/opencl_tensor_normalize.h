// Parameters of opencl_tensor_normalize; the element itself lies in the module opencl-elements.
#pragma once

#include <string>
#include <vector>

namespace sightglass {

struct OpenclTensorNormalizeParams {
  enum class Color { automatic, rgb, bgr };
  std::string shared_instance_id;
  std::vector<double> range;  // what 0 and 255 become, before mean and std
  std::vector<double> mean, std;
  Color color = Color::automatic;
};

}  // namespace sightglass
