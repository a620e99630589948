// An element of one's own: blurs what was found, on an OpenCL device.
//
// in, out  pictures of any 8-bit format, changed in place inside the boxes of their regions
//
// The frame may lie in any memory that leads to OpenCL: on a device that shares the memory of the CPU nothing
// is copied. Nothing waits for the device here either: whoever reads the picture next does. The mean over a
// square of 2·radius+1 pixels, made of pixels inside the box only, first along rows, then along columns. One
// stream, one thread.
#pragma once

#include <memory>

#include "sightglass/core/element.h"
#include "sightglass/memory/context.h"

namespace sightglass {

class OpenclBlur final : public TransformInplace {
 public:
  struct Params {
    int radius = 12;  // pixels
  };

  static ElementDesc descriptor();

  explicit OpenclBlur(const Params& params);
  ~OpenclBlur() override;

  Status start() override;
  void stop() override;
  Result<Verdict> process(Frame& frame) override;

 private:
  struct Kernels;  // OpenCL's handles
  Status blur(const Frame& mapped, size_t plane, const Box& box);

  Params params_;
  ContextRef context_;
  std::unique_ptr<Kernels> kernels_;
};

}  // namespace sightglass
