// For the sources of this folder.
#pragma once

#include "sightglass/core/tensor.h"

namespace sightglass {

// The tensor as memory of kind dlpack, mapped as long as that lives.
Result<Tensor> as_dlpack_memory(const Tensor& tensor, Access access);
// The tensor below, with its own memory.
Result<Tensor> below_dlpack_memory(const Tensor& tensor);

}  // namespace sightglass
