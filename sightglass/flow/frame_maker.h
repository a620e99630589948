// Makes frames of one format: from the pool of whoever reads them next, else from one of its own.
#pragma once

#include "sightglass/core/format.h"
#include "sightglass/core/frame.h"
#include "sightglass/memory/system/system_frame.h"

namespace sightglass::flow {

class RunState;
class Port;

class FrameMaker {
 public:
  void set_format(const Format& format);
  // Sets `video` and `tensors` to fresh memory. `next` may be null; what then is made in CUDA memory lies on
  // `device`, null: the first one.
  Status make(RunState& run, Port* next, uint64_t stream, Frame& frame, const Context* device = nullptr);
  // The block of the last frame made; null: it has been taken.
  const Memory* made() const { return made_; }
  void taken() { made_ = nullptr; }

 private:
  Format format_;
  FrameLayout layout_;
  size_t bytes_ = 0;
  Ref<MemoryPool> pool_;
  const Context* device_ = nullptr;  // that pool_ was made for
  uint64_t asked_at_ = 0;            // RunState::configured when `pool_` was asked for
  const Memory* made_ = nullptr;
};

}  // namespace sightglass::flow
