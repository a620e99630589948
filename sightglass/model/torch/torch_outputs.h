// What a TorchScript model returns, taken apart. For the sources of this folder.
#pragma once

#include <ATen/core/ivalue.h>

#include <string>
#include <vector>

#include "sightglass/core/result.h"

namespace sightglass {

struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

// A tensor is "output", the parts of a tuple or list "output0", "output1"…, those of a named tuple or
// dictionary have their names, parts of parts are joined by a point ("output0.boxes"). Anything but tensors
// is unsupported.
Result<std::vector<NamedTensor>> named_outputs(const c10::IValue& value);

}  // namespace sightglass
