// A detector's boxes found on the CUDA device where the model's outputs lie: threshold, decoding and
// non-maximum suppression in one launch per frame (cuda_boxes.cu), and what stays comes to the CPU. The same
// boxes in the same order as Suppression gives, but that exp differs in its last digit.
//
//   auto there = device.find(outputs);                  // the decoder's own tensors, of one sample
//   if (!there) return forward_error(there);
//   if (*there) {
//     cuda::BoxTask task{.head = cuda::rows_head, …};   // values: device.address(i)
//     if (Status done = device.run(task, options); !done) return done;
//     use(device.boxes(), device.extra(0));             // until the next find()
//   }
//
// The thread sleeps until the device is done. Once warm, nothing is allocated. One thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/elements/detection/candidates.h"
#include "sightglass/elements/detection/cuda_boxes.h"
#include "sightglass/memory/cuda/cuda_module.h"
#include "sightglass/memory/cuda/cuda_stream.h"

namespace sightglass {

class DeviceBoxes {
 public:
  // A box comes with so many other numbers at most.
  static constexpr int most_extras = 256;

  // Whether all of them lie on one device and are such as the kernels read: dense, of one type, float32 or
  // float16. Otherwise the CPU has to decode them. Waits until they are written.
  Result<bool> find(std::span<const Tensor> outputs);
  // Of a number of an output, on the device.
  const void* address(size_t output, int64_t number = 0) const {
    return reinterpret_cast<const void*>(addresses_[output] + uint64_t(number) * size_of(type_));
  }

  // `task` says what the outputs are; the rest of it is filled in here. Lets go of the outputs.
  Status run(cuda::BoxTask& task, const SuppressionOptions& options);
  std::span<const Candidate> boxes() const { return boxes_; }
  std::span<const float> extra(size_t box) const;

  // Why the device is not used though the outputs lie there; once.
  std::string take_warning() { return std::exchange(warning_, {}); }

 private:
  struct Kernels {
    CUfunc_st *f32 = nullptr, *f16 = nullptr;
  };
  Status open(const ContextRef& context);
  Status reserve(const cuda::BoxTask& task);

  ContextRef context_;
  Ref<CudaModule> module_;
  Kernels kernels_;
  std::unique_ptr<CudaStream> stream_;
  bool is_unusable_ = false;
  std::string warning_;

  std::vector<Tensor> outputs_;
  std::vector<uint64_t> addresses_;
  DataType type_ = DataType::f32;

  MemoryRef scratch_;  // on the device
  Ref<SystemMemory> results_;
  std::vector<Candidate> boxes_;
  int extras_ = 0, found_bytes_ = 0;
};

}  // namespace sightglass
