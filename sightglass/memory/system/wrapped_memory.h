// Memory that somebody else owns (a mapped GstBuffer, a numpy array, an output of an engine), lent for as
// long as the wrapper lives.
#pragma once

#include <functional>
#include <mutex>

#include "sightglass/memory/system/system_memory.h"

namespace sightglass {

// Gives the memory back to its owner. Called once, by the thread that drops the last reference.
using ReleaseMemory = std::move_only_function<void() noexcept>;

// Allocates the wrapper, and the callback's state where that is larger than a few pointers. `release` may be
// empty.
Ref<SystemMemory> wrap_memory(std::byte* data, size_t size, ReleaseMemory release);

class WrappedMemory;

// The same without allocation once warm, for memory that changes with every frame. Thread-safe; wrappers may
// outlive the pool's other references.
class WrapPool final : public RefCounted {
 public:
  WrapPool() = default;
  ~WrapPool() override;
  Ref<SystemMemory> wrap(std::byte* data, size_t size, ReleaseMemory release);

 private:
  friend WrappedMemory;
  std::mutex mutex_;
  WrappedMemory* free_ = nullptr;
};

}  // namespace sightglass
