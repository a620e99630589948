// Tensors as PyTorch's and PyTorch's as ours, without a copy. In the module torch.
//
//   auto mapped = map_to(frame, {.form = {MemoryKind::torch, {}}});
//   at::Tensor input = torch_tensor(mapped->frame().tensors[0]);
//   …
//   Result<Tensor> result = from_torch(output);      // ours as long as we hold it, whatever PyTorch does
//
// Strides are bytes here and elements there. PyTorch has no tensors that may not be written to: who has
// mapped for reading does not write. Thread-safe.
#pragma once

#include "sightglass/core/result.h"
#include "sightglass/core/tensor.h"

namespace at {
class Tensor;
}

namespace sightglass {

// Memory of kind torch. Refused are undefined tensors, devices but the CPU, layouts but strided (sparse…),
// types that a DataType cannot be, more than eight axes.
Result<Tensor> from_torch(const at::Tensor& tensor);

// A tensor in memory of kind torch as it is; keeps the memory alive. Undefined for memory of another kind.
at::Tensor torch_tensor(const Tensor& tensor);

}  // namespace sightglass
