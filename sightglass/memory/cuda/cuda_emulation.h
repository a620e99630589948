// For tests: kernels on a machine without a GPU. A test includes this and then the .cu as it is:
//
//   #include "sightglass/memory/cuda/cuda_emulation.h"
//   #include "sightglass/elements/video_to_tensor/cuda_kernel.cu"
//
//   cuda_emulation::launch({5, 80, 8}, {32, 8, 1}, preprocess_nv12_f16, batch);   // done when it returns
//
// Addresses are those of the CPU. Blocks run one after the other, the threads of one as fibers of the calling
// thread: each up to its next __syncthreads(), in rising order and then in falling order by turns, so that a
// barrier that is missing shows. Threads that meet at different barriers, or some at one while others have
// returned, end the test with a message.
//
// What there is: what our kernels use. No warp intrinsics; __shared__ of fixed sizes only, with what the last
// block left in it (zeros before the first); arithmetic is the CPU's, without fused multiply-add. Address and
// thread sanitizers know of the fibers.
#pragma once

#include <ucontext.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

// "#pragma unroll" of the kernels.
#pragma GCC diagnostic ignored "-Wunknown-pragmas"

#define __global__
#define __device__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define __shared__ static
#define __syncthreads() ::sightglass::cuda_emulation::barrier(__LINE__)

// NOLINTBEGIN: CUDA's names
struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
struct uchar2 {
  unsigned char x, y;
};
struct ushort2 {
  unsigned short x, y;
};
struct float2 {
  float x, y;
};
struct float4 {
  float x, y, z, w;
};
inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;

inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
inline long long min(long long a, long long b) { return a < b ? a : b; }
inline long long max(long long a, long long b) { return a > b ? a : b; }
inline float __int_as_float(int bits) { return std::bit_cast<float>(bits); }
inline int __float_as_int(float value) { return std::bit_cast<int>(value); }
inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
inline int __float2int_rd(float value) { return int(std::floor(value)); }
inline int __float2int_rn(float value) { return int(std::nearbyint(value)); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline void __threadfence() {}

template <class T>
T __ldg(const T* at) {
  return *at;
}
template <class T>
T atomicExch(T* at, std::type_identity_t<T> value) {
  return std::exchange(*at, value);
}
template <class T>
T atomicAdd(T* at, std::type_identity_t<T> value) {
  return std::exchange(*at, T(*at + value));
}
template <class T>
T atomicOr(T* at, std::type_identity_t<T> value) {
  return std::exchange(*at, T(*at | value));
}
template <class T>
T atomicMax(T* at, std::type_identity_t<T> value) {
  return std::exchange(*at, *at < value ? value : *at);
}
template <class T>
T atomicMin(T* at, std::type_identity_t<T> value) {
  return std::exchange(*at, value < *at ? value : *at);
}
template <class T>
T atomicCAS(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return std::exchange(*at, *at == expected ? value : *at);
}
// NOLINTEND

namespace sightglass::cuda_emulation {

// The threads of one block.
class Block {
 public:
  static Block& current() {
    static Block block;
    return block;
  }

  // body(): what each thread does, with threadIdx set.
  void run(dim3 size, const std::function<void()>& body) {
    body_ = &body;
    const unsigned count = size.x * size.y * size.z;
    while (threads_.size() < count) threads_.push_back(std::make_unique<Thread>());
    for (unsigned i = 0; i < count; ++i) {
      Thread& thread = *threads_[i];
      thread.index = {i % size.x, i / size.x % size.y, i / size.x / size.y};
      thread.line = not_begun;
      getcontext(&thread.context);
      thread.context.uc_stack = {.ss_sp = thread.stack.get(), .ss_flags = 0, .ss_size = stack_bytes};
      thread.context.uc_link = nullptr;
      makecontext(&thread.context, &Block::begin, 0);
    }
    for (bool rising = true;; rising = !rising) {
      for (unsigned i = 0; i < count; ++i) resume(*threads_[rising ? i : count - 1 - i]);
      const int line = threads_[0]->line;
      for (unsigned i = 1; i < count; ++i)
        if (threads_[i]->line != line) fail_apart(line, i, threads_[i]->line);
      if (line == returned) return;
    }
  }

  void wait(int line) {
    running_->line = line;
    leave(*running_, false);
  }

 private:
  static constexpr size_t stack_bytes = 64 << 10;
  static constexpr int not_begun = -1, returned = -2;

  struct Thread {
    std::unique_ptr<std::byte[]> stack = std::make_unique_for_overwrite<std::byte[]>(stack_bytes);
    ucontext_t context;
    uint3 index;
    int line = not_begun;  // of the barrier that it waits at
    void* fake_stack = nullptr;
#ifdef __SANITIZE_THREAD__
    void* fiber = __tsan_create_fiber(0);
    ~Thread() { __tsan_destroy_fiber(fiber); }
#endif
  };

  static void begin() {
    Block& block = current();
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(nullptr, &block.home_stack_, &block.home_stack_bytes_);
#endif
    (*block.body_)();
    block.running_->line = returned;
    block.leave(*block.running_, true);
  }

  void resume(Thread& thread) {
    running_ = &thread;
    threadIdx = thread.index;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&home_fake_stack_, thread.stack.get(), stack_bytes);
#endif
#ifdef __SANITIZE_THREAD__
    home_fiber_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(thread.fiber, 0);
#endif
    swapcontext(&home_, &thread.context);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(home_fake_stack_, nullptr, nullptr);
#endif
  }

  void leave(Thread& thread, [[maybe_unused]] bool for_ever) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(for_ever ? nullptr : &thread.fake_stack, home_stack_, home_stack_bytes_);
#endif
#ifdef __SANITIZE_THREAD__
    __tsan_switch_to_fiber(home_fiber_, 0);
#endif
    swapcontext(&thread.context, &home_);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(thread.fake_stack, &home_stack_, &home_stack_bytes_);
#endif
  }

  [[noreturn]] static void fail_apart(int first_line, unsigned other, int other_line) {
    const auto place = [](int line) {
      return line == returned ? std::string("has returned") : "waits in line " + std::to_string(line);
    };
    std::fprintf(stderr, "block (%u, %u, %u): thread 0 %s, but thread %u %s\n", blockIdx.x, blockIdx.y,
                 blockIdx.z, place(first_line).c_str(), other, place(other_line).c_str());
    std::abort();
  }

  const std::function<void()>* body_ = nullptr;
  std::vector<std::unique_ptr<Thread>> threads_;
  Thread* running_ = nullptr;
  ucontext_t home_;
#ifdef __SANITIZE_ADDRESS__
  void* home_fake_stack_ = nullptr;
  const void* home_stack_ = nullptr;
  size_t home_stack_bytes_ = 0;
#endif
#ifdef __SANITIZE_THREAD__
  void* home_fiber_ = nullptr;
#endif
};

inline void barrier(int line) { Block::current().wait(line); }

// One thread at a time may launch.
template <class... Parameters, class... Arguments>
void launch(dim3 grid, dim3 block, void (*kernel)(Parameters...), const Arguments&... arguments) {
  gridDim = grid, blockDim = block;
  const std::function<void()> body = [&] { kernel(arguments...); };
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        blockIdx = {x, y, z};
        Block::current().run(block, body);
      }
}

}  // namespace sightglass::cuda_emulation
