// For the sources of this folder.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "sightglass/core/tensor.h"

namespace sightglass {

c10::ScalarType to_torch(DataType type);
std::optional<DataType> from_torch(c10::ScalarType type);

}  // namespace sightglass
