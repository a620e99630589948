// What the sample is exchanged for while it runs (function_test): does nothing.
#include "sightglass/frame_function.h"

namespace {
struct Nothing : sightglass::FrameFunction {
  sightglass::Status process(sightglass::FunctionFrame&) override { return {}; }
};
}  // namespace

SIGHTGLASS_FUNCTION(Nothing)
