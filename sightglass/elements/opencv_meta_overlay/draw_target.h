// The picture of a frame, drawn into where it lies: by the CPU in memory that it can map, by kernels in CUDA
// memory.
//
//   auto painter = target.open(frame);
//   list.begin(*frame.video, atlas, *painter);
//   …
//   list.end();
//   target.close();
//
// Not thread-safe.
#pragma once

#include <memory>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/elements/opencv_meta_overlay/canvas.h"
#include "sightglass/elements/opencv_meta_overlay/cuda_canvas.h"

namespace sightglass {

class DrawTarget {
 public:
  // Loads what takes long, and says what does not work there, before the first frame comes.
  Status prepare(MemoryKind memory);
  // Valid until close(). Corrupt: the frame does not hold the picture that it says.
  Result<Painter*> open(const Frame& frame);
  // Also after an error of the painter.
  Status close();

 private:
  Status open_cuda(const ContextRef& context);

  Canvas canvas_;
  std::vector<Mapping> mappings_;
  std::unique_ptr<CudaCanvas> cuda_canvas_;  // null until frames in CUDA memory come
  bool is_on_device_ = false;
};

}  // namespace sightglass
