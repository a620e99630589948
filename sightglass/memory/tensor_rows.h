// Tensors as the copy engines of devices see them: rows of bytes at a pitch, in slices at another; and where
// what is copied to a device goes in a block of its own.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"

namespace sightglass {

struct TensorRows {
  size_t row_bytes = 0;                // without a gap
  size_t rows = 1, pitch = 0;          // bytes from row to row
  size_t slices = 1, slice_pitch = 0;  // bytes from slice to slice
};

// The elements of a tensor in as few rows as there can be: a dense one is a single row. Negative strides, and
// gaps along more than two axes, are unsupported.
Result<TensorRows> rows_of(const Tensor& tensor);

// Gives `result` the picture or the tensors of `frame`, without memory, one behind the other: each starts at
// a multiple of `alignment`, and so does each row of a plane; plain tensors are dense. Returns the bytes of
// the whole.
size_t lay_out(const Frame& frame, size_t alignment, Frame& result);

}  // namespace sightglass
