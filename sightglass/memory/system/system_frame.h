// Pictures in memory of the CPU: a new one in one block, and copies between any two that can be mapped.
#pragma once

#include <cstddef>

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"
#include "sightglass/core/tensor.h"

namespace sightglass {

// How the planes of a picture lie one behind the other in one block: the usual layout of each.
struct FrameLayout {
  // Rows start at multiples of `alignment` bytes, planes at multiples of 64.
  static FrameLayout of(const VideoInfo& video, size_t alignment = 64);
  size_t offset[4] = {}, stride[4] = {};
  size_t bytes = 0;  // of the whole
};

// The picture in that layout, in a block that exists already. Whether it fits is checked when it is mapped.
Frame frame_in(MemoryRef memory, const VideoInfo& video, const FrameLayout& layout, size_t offset = 0);
// In a block of its own, not initialised.
Result<Frame> allocate_frame(const VideoInfo& video, size_t alignment = 64);

// Copies all elements, row by row where one of the two has gaps. Types and shapes have to agree.
Status copy_tensor(const Tensor& from, const Tensor& to);
// All tensors or planes. Both frames have to have the same.
Status copy_content(const Frame& from, const Frame& to);
// Bytes of all tensors, without gaps.
size_t content_bytes(const Frame& frame);

}  // namespace sightglass
