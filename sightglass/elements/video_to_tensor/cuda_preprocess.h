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

#include "sightglass/elements/video_to_tensor/kernel.h"
#include "sightglass/memory/context.h"

struct CUstream_st;

namespace sightglass {

class CudaPreprocessor {
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

  static Result<std::unique_ptr<CudaPreprocessor>> make(const ContextRef& context, const VideoInfo& video,
                                                        const PreprocessOptions& options);
  ~CudaPreprocessor();
  Status run(std::span<Item> items, const SlotLayout& layout, CUstream_st* stream);
  // How the kernels came to be: "sm_90 by nvcc".
  std::string_view kernels() const;

 private:
  struct State;
  explicit CudaPreprocessor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sightglass
