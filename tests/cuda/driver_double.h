// A driver of NVIDIA's for tests: libcuda.so.1 with two devices, whose memory is the host's and whose work is
// done at once, but for kernels, which do nothing unless a test says what (cuda_emulation.h runs them).
// Programs get it with its folder in LD_LIBRARY_PATH (sg_test_uses_cuda_double() in CMake), and say here what
// is to go wrong:
//
//   cuda_double().fail("cuMemAlloc_v2", 3, out_of_memory);     // the third call from now, and all later ones
//   cuda_double().fail("", 10, device_gone);                   // any call from the tenth on
//   cuda_double().heal();
//
// Device addresses are no addresses of the CPU: who uses one as such crashes. What runs a kernel has to take
// host_address() of those in its argument.
#pragma once

#include <dlfcn.h>

#include <cstddef>
#include <cstdint>

namespace sightglass::test {

constexpr int out_of_memory = 2, device_gone = 46, not_ready = 600, launch_failed = 719, no_binary = 209;

// `argument`: the struct that was launched.
using CudaDoubleKernel = void (*)(const unsigned (&grid)[3], const unsigned (&block)[3],
                                  const void* argument);

struct CudaDouble {
  void (*fail)(const char* call, unsigned from, int code);
  void (*heal)();
  unsigned (*calls)(const char* call);  // so far
  size_t (*device_bytes)();             // allocated, on both devices
  size_t (*pinned_bytes)();
  int (*depth)();  // contexts that this thread has entered
  // What kernels of this name do. Before they are looked up.
  void (*set_kernel)(const char* name, CudaDoubleKernel kernel);
};

constexpr uintptr_t on_device = uintptr_t(1) << 62;  // of an address
template <class T>
T* host_address(T* address) {
  return reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(address) & ~on_device);
}

// Null functions: the program runs with another driver.
inline const CudaDouble& cuda_double() {
  static const CudaDouble known = [] {
    void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    auto* found = library ? static_cast<const CudaDouble*>(dlsym(library, "cuda_double_controls")) : nullptr;
    return found ? *found : CudaDouble{};
  }();
  return known;
}

}  // namespace sightglass::test
