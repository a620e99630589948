// Kernels, made ready on a device when they are first needed. Where the build had nvcc, they are there as
// machine code for the usual devices and as PTX for later ones; otherwise, or where none of it fits, NVRTC
// compiles their text, and what it has made is kept in the user's cache folder (kernel_cache.h).
//
//   extern const CudaSource video_to_tensor_kernels;                       // sg_cuda() in CMakeLists.txt
//   auto module = CudaModule::load(context, video_to_tensor_kernels);       // a second with NVRTC, once
//   auto kernel = (*module)->kernel("preprocess_nv12_f16");                 // keep it, looking it up costs
//   launch(context, *kernel, {.grid = {5, 80, 8}, .block = {32, 8, 1}}, stream, arguments);
//
// Thread-safe; modules live as long as the process.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "sightglass/core/ref.h"
#include "sightglass/core/result.h"
#include "sightglass/memory/context.h"

struct CUfunc_st;
struct CUmod_st;
struct CUstream_st;

namespace sightglass {

struct CudaSource {
  std::string_view name;              // for people: "video_to_tensor"
  std::string_view text;              // complete, includes nothing
  std::span<const std::byte> binary;  // fat binary of nvcc; empty: the build had none
};

class CudaModule final : public RefCounted {
 public:
  // A null context: that of the first device. `compiler`: NVRTC even where a binary fits, for tests.
  static Result<Ref<CudaModule>> load(const ContextRef& context, const CudaSource& source,
                                      bool compiler = false);
  Result<CUfunc_st*> kernel(const char* name) const;
  const ContextRef& context() const { return context_; }
  // "sm_90 by nvcc" or "sm_90 by NVRTC 13.0".
  std::string_view origin() const { return origin_; }

 private:
  CudaModule(ContextRef context, CUmod_st* module, std::string origin)
      : context_(std::move(context)), module_(module), origin_(std::move(origin)) {}
  const ContextRef context_;
  CUmod_st* const module_;
  const std::string origin_;
};

struct LaunchSize {
  std::array<unsigned, 3> grid{1, 1, 1}, block{1, 1, 1};
  unsigned shared_bytes = 0;
};
// Puts a kernel with one argument, a struct of at most 32,764 bytes that is copied at once, into the stream.
Status launch(const ContextRef& context, CUfunc_st* kernel, const LaunchSize& size, CUstream_st* stream,
              const void* argument);

}  // namespace sightglass
