// The pass of kernel.h on an NVIDIA GPU: rectangles of pictures in device memory become slots of a tensor in
// device memory, any number of them by one launch per 32. Same sample positions, same formulas, in floats
// without intermediate rounding: within 0.15 grey levels (before normalisation) of the CPU's bilinear pass on
// natural pictures; nearest may differ by a neighbour where a centre falls on an edge between two.
//
//   auto pre = CudaPreprocessor::make(context, video, options);       // loads the kernels
//   (*pre)->run(items, layout, stream);                               // asynchronous, allocates nothing
//
// Bilinear and nearest. Formats: those of the CPU's pass and p010, whose ten bits are used. One thread at a
// time per instance; the caller orders the stream against writers of the pictures and readers of the tensor.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/elements/video_to_tensor/channel_math.h"
#include "sightglass/elements/video_to_tensor/cuda_kernel.h"
#include "sightglass/elements/video_to_tensor/kernel.h"
#include "sightglass/memory/context.h"
#include "sightglass/memory/cuda/cuda_module.h"

struct CUstream_st;

namespace sightglass {

// What the kernels are told, without a device.
class CudaPreprocessPlan {
 public:
  struct Item {
    std::array<uint64_t, 4> planes{};  // device addresses, as in VideoInfo
    std::array<int, 4> strides{};      // bytes
    Crop crop;                         // inside the picture, not empty
    uint64_t slot = 0;                 // device address
    Affine affine;                     // set by run(): tensor 0..1 → picture 0..1
  };
  // Strides of a slot in values.
  struct SlotLayout {
    int64_t row = 0, pixel = 1, channel = 0;
  };

  static Result<CudaPreprocessPlan> make(const VideoInfo& video, const PreprocessOptions& options);
  // Of the kernel: preprocess_nv12_f16.
  const std::string& kernel() const { return kernel_; }
  // The next launch: takes as many items from the front as it holds. Its argument is batch().
  LaunchSize next(std::span<Item>& items, const SlotLayout& layout);
  const cuda::Batch& batch() const { return batch_; }

 private:
  CudaPreprocessPlan() = default;
  VideoInfo video_;
  PreprocessOptions options_;
  std::vector<preprocess::Component> parts_;
  cuda::Batch batch_{};
  std::string kernel_;
};

class CudaPreprocessor {
 public:
  using Item = CudaPreprocessPlan::Item;
  using SlotLayout = CudaPreprocessPlan::SlotLayout;

  static Result<std::unique_ptr<CudaPreprocessor>> make(const ContextRef& context, const VideoInfo& video,
                                                        const PreprocessOptions& options);
  Status run(std::span<Item> items, const SlotLayout& layout, CUstream_st* stream);
  // How the kernels came to be: "sm_90 by nvcc".
  std::string_view kernels() const { return module_->origin(); }

 private:
  CudaPreprocessor(Ref<CudaModule> module, CUfunc_st* kernel, CudaPreprocessPlan plan)
      : module_(std::move(module)), kernel_(kernel), plan_(std::move(plan)) {}
  const Ref<CudaModule> module_;
  CUfunc_st* const kernel_;
  CudaPreprocessPlan plan_;
};

}  // namespace sightglass
