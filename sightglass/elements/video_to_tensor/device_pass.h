// VideoToTensor's way for pictures in CUDA memory: puts a kernel per tensor into a stream of its own and goes
// on. Whoever reads the tensor waits for it on the device; the pictures are held until they have been read.
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
  // Waits for what is under way and lets go of its pictures.
  void finish();

 private:
  DevicePass(const VideoInfo& video, const PreprocessOptions& options, size_t row_axis, size_t channel_axis)
      : video_(video), options_(options), row_axis_(row_axis), channel_axis_(channel_axis) {}
  Status open(const ContextRef& context);
  void let_go(size_t most);

  struct UnderWay {
    Ref<Fence> done;
    std::vector<MemoryRef> pictures;
  };
  // Pictures of this many launches are kept from their decoder at most.
  static constexpr size_t most_under_way = 4;

  const VideoInfo video_;
  const PreprocessOptions options_;
  const size_t row_axis_, channel_axis_;
  ContextRef context_;
  std::unique_ptr<CudaStream> stream_;
  std::unique_ptr<CudaPreprocessor> preprocessor_;
  std::vector<CudaPreprocessor::Item> items_;
  Tensor tensor_;                    // that is being filled
  std::vector<MemoryRef> pictures_;  // of the items
  std::deque<UnderWay> under_way_;
  std::vector<std::vector<MemoryRef>> spare_;  // lists for their capacity
};

}  // namespace sightglass
