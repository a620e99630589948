// Types of elements in ONNX Runtime's words. For the sources of this folder.
#pragma once

#include <optional>

#include "sightglass/core/tensor.h"
#include "sightglass/model/onnx/onnx_library.h"

namespace sightglass {

std::optional<DataType> from_onnx(ONNXTensorElementDataType type);
ONNXTensorElementDataType to_onnx(DataType type);

}  // namespace sightglass
