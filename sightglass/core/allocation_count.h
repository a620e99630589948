// For tests: counts what this program allocates with new, so that "no allocation once warm" can be asserted.
//
//   const size_t before = allocation_count();
//   element.process(frame);
//   EXPECT_EQ(allocation_count(), before);
//
// Replaces the global operator new: include it in one source file of a test program, and never outside of
// tests.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace sightglass {
inline std::atomic<size_t> allocations_so_far{0};
inline size_t allocation_count() { return allocations_so_far.load(); }
}  // namespace sightglass

// All forms are replaced, since the sanitizers want new and delete to match. Not inlined: g++ would warn of
// memory from new that is freed by free().
[[gnu::noinline]] void* operator new(size_t size, const std::nothrow_t&) noexcept {
  ++sightglass::allocations_so_far;
  return std::malloc(size ? size : 1);
}
[[gnu::noinline]] void* operator new(size_t size) {
  if (void* memory = operator new(size, std::nothrow)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(size_t size, std::align_val_t align, const std::nothrow_t&) noexcept {
  ++sightglass::allocations_so_far;
  const size_t step = size_t(align);
  return std::aligned_alloc(step, (size + step - 1) / step * step);
}
[[gnu::noinline]] void* operator new(size_t size, std::align_val_t align) {
  if (void* memory = operator new(size, align, std::nothrow)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }
