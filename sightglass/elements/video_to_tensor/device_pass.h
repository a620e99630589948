// VideoToTensor's way for pictures in CUDA memory. A tensor of one picture whose reader fills it by itself (a
// model, see memory/cuda/deferred_write.h) is only described. Others are made at once: a kernel per tensor
// goes into a stream of its own, and whoever reads the tensor waits for it on the device. The pictures are
// held until they have been read.
//
//   pass->begin(tensor);
//   pass->add(frame, part, place);           // any number
//   pass->run();                             // one launch for up to 32 of them
//   pass->affine(0);
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/elements/video_to_tensor/cuda_preprocess.h"
#include "sightglass/memory/cuda/cuda_stream.h"

namespace sightglass {

class DeferredPictures;

class DevicePass {
 public:
  // Loads the kernels for the first device, to say what does not work; another one may follow with the
  // pictures, and where there are several the first one need not work.
  static Result<std::unique_ptr<DevicePass>> make(const VideoInfo& video, const PreprocessOptions& options,
                                                  size_t row_axis, size_t channel_axis);
  ~DevicePass();

  // Forgets what has been added and not run.
  void begin(const Tensor& tensor);
  // False: the picture is not what was agreed. An error: it lies on another device than the tensor, or at
  // addresses that the kernels cannot read.
  Result<bool> add(const Frame& frame, const Crop& part, size_t place);
  Status run();
  const Affine& affine(size_t index) const { return items_[index].affine; }  // of those added, after run()
  // Waits for what is under way and lets go of its pictures; those of described tensors go with them.
  void finish();

  // What is kept from the decoder at most: pictures that are only described, and those of launches.
  static constexpr size_t most_described = 4, most_launched = 2;

 private:
  DevicePass(const VideoInfo& video, const PreprocessOptions& options, size_t row_axis, size_t channel_axis);
  Status open(const ContextRef& context);
  CudaPreprocessor::SlotLayout layout() const;  // of tensor_
  bool defer();
  void let_go(size_t most);

  struct UnderWay {
    Ref<Fence> done;
    std::vector<MemoryRef> pictures;
  };
  const VideoInfo video_;
  const PreprocessOptions options_;
  const size_t row_axis_, channel_axis_;
  ContextRef context_;
  std::unique_ptr<CudaStream> stream_;
  std::shared_ptr<const CudaPreprocessor> preprocessor_;
  const Ref<DeferredPictures> deferred_;
  std::vector<CudaPreprocessor::Item> items_;
  Tensor tensor_;                    // that is being filled
  std::vector<MemoryRef> pictures_;  // of the items
  std::deque<UnderWay> under_way_;
  std::vector<std::vector<MemoryRef>> spare_;  // lists for their capacity
};

}  // namespace sightglass
