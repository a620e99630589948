// Runs a flow (sightglass/flow/flow.h) to its end, with Ctrl-C as an end of its sources, so that files are
// finished; a second Ctrl-C aborts.
#pragma once

#include <string_view>

#include "sightglass/cli/progress.h"
#include "sightglass/core/result.h"
#include "sightglass/flow/flow.h"

namespace sightglass::cli {

struct FlowOutcome {
  Status status;
  int signal = 0;       // that has ended it
  uint64_t frames = 0;  // that its sources have given
  double seconds = 0;

  int exit_code() const { return !status ? 1 : signal ? 128 + signal : 0; }
};

// Must not be called by two threads at once.
FlowOutcome run_flow(Flow& flow, Progress& progress, uint64_t wanted_frames);

}  // namespace sightglass::cli
