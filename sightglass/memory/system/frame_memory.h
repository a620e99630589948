// What mappers have in common: the same tensors over other memory.
#pragma once

#include <utility>

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"
#include "sightglass/memory/system/system_frame.h"
#include "sightglass/memory/tensor_rows.h"

namespace sightglass {

// Memory of another kind that the CPU can address, seen as memory of the CPU. The same bytes: the view is
// mapped and unmapped through the memory below, with all that goes with it (a fence, caches), and keeps it
// alive.
MemoryRef host_view(MemoryRef memory);
// The memory below a view; null for any other.
MemoryRef below_host_view(const Memory& memory);

// Fills `result` with the tensors of `frame`, each block of memory replaced by what `replace` makes of it,
// once: planes that share a block share it afterwards. `replace` is Result<MemoryRef>(const MemoryRef&).
template <class Replace>
Status replace_memory(const Frame& frame, Frame& result, Replace replace) {
  result.video = frame.video;
  result.tensors = frame.tensors;
  for (size_t i = 0; i < result.tensors.size(); ++i) {
    MemoryRef& memory = result.tensors[i].memory;
    if (!memory) return fail(ErrorCode::invalid_argument, "a tensor without memory cannot be mapped");
    size_t same = 0;
    while (frame.tensors[same].memory != frame.tensors[i].memory) ++same;
    if (same < i) {
      memory = result.tensors[same].memory;
      continue;
    }
    auto replaced = replace(std::as_const(memory));
    if (!replaced) return forward_error(replaced);
    memory = *std::move(replaced);
  }
  return {};
}

// Fills `result` with a copy of the content in a new block that `allocate` makes, Result<MemoryRef>(size_t
// bytes). Where nothing is going to be read, nothing is copied.
template <class Allocate>
Status copy_to_new_block(const Frame& frame, Access access, Frame& result, Allocate allocate) {
  for (const Tensor& tensor : frame.tensors)
    if (!tensor.shape.fixed())
      return fail(ErrorCode::invalid_argument, "a tensor of shape {} has no size yet",
                  tensor.shape.to_string());
  auto block = allocate(lay_out(frame, 64, result));
  if (!block) return forward_error(block);
  for (Tensor& tensor : result.tensors) tensor.memory = *block;
  return access == Access::write ? Status{} : copy_content(frame, result);
}

}  // namespace sightglass
