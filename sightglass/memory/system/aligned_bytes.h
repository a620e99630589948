// The bytes themselves: aligned, rounded up to whole cache lines, not initialised.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#include "sightglass/memory/system/system_memory.h"

namespace sightglass {

struct FreeAligned {
  void operator()(std::byte* data) const {
    ::operator delete(data, std::align_val_t(SystemMemory::alignment));
  }
};
using AlignedBytes = std::unique_ptr<std::byte, FreeAligned>;

// Null when there is not enough memory.
AlignedBytes allocate_aligned(size_t size);
std::unexpected<Error> out_of_memory(size_t size);

}  // namespace sightglass
