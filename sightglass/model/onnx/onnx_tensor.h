// Tensors as values of ONNX Runtime and its values as tensors, without a copy.
//
//   auto mapped = map_to(frame, {.form = {MemoryKind::onnx, {}}});
//   const OrtValue* input = onnx_value(mapped->frame().tensors[0]);
//
// An OrtValue has no strides: what has gaps between its elements is refused. Thread-safe.
#pragma once

#include "sightglass/core/result.h"
#include "sightglass/core/tensor.h"

struct OrtValue;

namespace sightglass {

// Takes the value, in memory of kind onnx; it is released with the last reference. On an error it stays the
// caller's. Refused are null, what is no tensor of numbers or booleans in memory of the CPU, and more than
// eight axes.
Result<Tensor> from_onnx(OrtValue* value);

// The value of a tensor in memory of kind onnx, lent: valid as long as the memory. Null for memory of another
// kind.
OrtValue* onnx_value(const Tensor& tensor);

}  // namespace sightglass
