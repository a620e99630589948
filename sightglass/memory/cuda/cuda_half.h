// Half precision for kernels: cuda_fp16.h is not there where NVRTC compiles them.
#pragma once

namespace sightglass::cuda {

struct Half {
  unsigned short bits;
};

#ifdef __CUDACC__
__device__ inline Half to_half(float value) {
  Half half;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half.bits) : "f"(value));
  return half;
}
__device__ inline float to_float(Half half) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half.bits));
  return value;
}
#else  // cuda_emulation.h
inline Half to_half(float value) { return {std::bit_cast<unsigned short>(static_cast<_Float16>(value))}; }
inline float to_float(Half half) { return float(std::bit_cast<_Float16>(half.bits)); }
#endif

}  // namespace sightglass::cuda
