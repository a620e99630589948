// Brings a tensor into the form that an engine reads: dense, and of the model's type. The one copy on the way
// into a model, made only where the tensor is not like that already.
#pragma once

#include <cstddef>

#include "sightglass/core/tensor.h"

namespace sightglass {

// Whether gather() can turn one type into the other: every type into itself, uint8 and float32 also into
// other numbers.
bool can_gather(DataType from, DataType to);

// Writes the elements of `tensor`, whose first byte lies at `data`, one behind the other to `target`. Numbers
// that do not fit into the target type become the nearest that does. `can_gather()` has to hold.
void gather(const Tensor& tensor, const std::byte* data, DataType to, std::byte* target);

}  // namespace sightglass
