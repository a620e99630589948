// Ordinary memory of the CPU, aligned for every SIMD width, with a fence for work that is still writing it.
//
//   auto tensor = allocate_tensor({.type = DataType::f32, .shape = {1, 3, 416, 416}});
//
// For memory that is needed per frame use a SystemMemoryPool (system_memory_pool.h), for memory that others
// own wrap_memory() (wrapped_memory.h).
#pragma once

#include <cstddef>
#include <utility>

#include "sightglass/core/memory.h"
#include "sightglass/core/tensor.h"

namespace sightglass {

class SystemMemory : public Memory {
 public:
  static constexpr size_t alignment = 64;  // bytes; holds for what we allocate, not for what is wrapped

  std::byte* data() const { return data_; }  // without waiting for the fence: for whoever is to open it

  // Work that is going to write the block: map() waits for it and passes its error on. Set by the producer
  // before it hands the block on, not while others map it. Who does the work holds a reference to the block
  // until it is done. Null takes the fence off.
  void set_fence(Ref<Fence> fence) { fence_ = std::move(fence); }
  const Ref<Fence>& fence() const { return fence_; }

  Result<std::byte*> map(Access access) override;
  void unmap(Access) override {}

 protected:
  SystemMemory(std::byte* data, size_t size) : Memory(MemoryKind::system, size), data_(data) {}
  void point_to(std::byte* data) { data_ = data; }

 private:
  std::byte* data_;
  Ref<Fence> fence_;
};

// One aligned block, not initialised, freed with its last reference. Reading up to the next multiple of 64
// bytes behind the end is safe.
Result<Ref<SystemMemory>> allocate_memory(size_t size);

// A tensor in a block of its own. Fails when an axis is free.
Result<Tensor> allocate_tensor(const TensorInfo& info);

// The tensor that `info` describes, at `offset` bytes of a block that exists already. Costs nothing; whether
// it fits is checked by map().
Tensor tensor_in(MemoryRef memory, const TensorInfo& info, size_t offset = 0);

}  // namespace sightglass
