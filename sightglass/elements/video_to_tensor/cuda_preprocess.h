// The pass of kernel.h on an NVIDIA GPU: rectangles of pictures in device memory become slots of a tensor in
// device memory, any number of them by one launch per 32. Same sample positions, same formulas, in floats
// without intermediate rounding: within 0.15 grey levels (before normalisation) of the CPU's bilinear pass on
// natural pictures; nearest may differ by a neighbour where a centre falls on an edge between two.
//
//   auto pre = CudaPreprocessor::shared(context, video, options);     // loads the kernels
//   (*pre)->run(items, layout, stream);                               // asynchronous, allocates nothing
//
// Bilinear and nearest. Formats: those of the CPU's pass and p010, whose ten bits are used. Thread-safe; the
// caller orders the stream against writers of the pictures and readers of the tensor.
#pragma once

#include <algorithm>
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
    Affine affine;                     // set by task(): tensor 0..1 → picture 0..1
  };
  // Strides of a slot in values.
  struct SlotLayout {
    int64_t row = 0, pixel = 1, channel = 0;
  };

  static Result<CudaPreprocessPlan> make(const VideoInfo& video, const PreprocessOptions& options);
  // Of the kernel: preprocess_nv12_f16.
  const std::string& kernel() const { return kernel_; }
  cuda::Task task(Item& item) const;
  // The argument of a launch, but for its tasks.
  cuda::Batch batch(const SlotLayout& layout) const;
  LaunchSize launch_size(size_t tasks) const;
  bool operator==(const CudaPreprocessPlan& other) const {
    return video_ == other.video_ && options_ == other.options_;
  }

 private:
  CudaPreprocessPlan() = default;
  VideoInfo video_;  // without its frame rate
  PreprocessOptions options_;
  std::vector<preprocess::Component> parts_;
  cuda::Batch batch_{};
  std::string kernel_;
};

class CudaPreprocessor {
 public:
  using Item = CudaPreprocessPlan::Item;
  using SlotLayout = CudaPreprocessPlan::SlotLayout;

  // The same for all who ask for the same, so that pictures of several streams become one launch.
  static Result<std::shared_ptr<const CudaPreprocessor>> shared(const ContextRef& context,
                                                                const VideoInfo& video,
                                                                const PreprocessOptions& options);
  const CudaPreprocessPlan& plan() const { return plan_; }
  Status run(std::span<Item> items, const SlotLayout& layout, CUstream_st* stream) const;
  // task(i) of `count` tasks, one launch for up to 32 of them.
  template <class TaskOf>
  Status run(size_t count, TaskOf&& task, const SlotLayout& layout, CUstream_st* stream) const {
    cuda::Batch batch = plan_.batch(layout);
    for (size_t done = 0; done < count; done += size_t(batch.tasks)) {
      batch.tasks = int(std::min<size_t>(count - done, cuda::most_tasks));
      for (size_t i = 0; i < size_t(batch.tasks); ++i) batch.task[i] = task(done + i);
      if (Status put =
              launch(module_->context(), kernel_, plan_.launch_size(size_t(batch.tasks)), stream, &batch);
          !put)
        return put;
    }
    return {};
  }
  // How the kernels came to be: "sm_90 by nvcc".
  std::string_view kernels() const { return module_->origin(); }

 private:
  CudaPreprocessor(Ref<CudaModule> module, CUfunc_st* kernel, CudaPreprocessPlan plan)
      : module_(std::move(module)), kernel_(kernel), plan_(std::move(plan)) {}
  const Ref<CudaModule> module_;
  CUfunc_st* const kernel_;
  const CudaPreprocessPlan plan_;
};

}  // namespace sightglass
