// Lets `pass-frames` frames through, then drops `drop-frames`, and so on. With mode=gap a gap stands for each
// dropped frame, so that joins downstream do not wait for it; by default it is gone without a trace.
//
// One stream, one thread.
#pragma once

#include "sightglass/core/element.h"

namespace sightglass {

class GvaDrop final : public TransformInplace {
 public:
  enum class Mode : uint8_t { standard, gap };

  struct Params {
    unsigned pass_frames = 1, drop_frames = 0;
    Mode mode = Mode::standard;
  };

  explicit GvaDrop(const Params& params) : params_(params) {}

  Result<Verdict> process(Frame& frame) override;
  void flush() override { seen_ = 0; }

 private:
  Params params_;
  uint64_t seen_ = 0;  // of this round
};

}  // namespace sightglass
