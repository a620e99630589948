// Runs a GstPipeline to its end: shows progress, passes warnings on once each, and turns Ctrl-C into an end
// of the stream, so that files are finished (a second Ctrl-C aborts).
#pragma once

#include <gst/gst.h>

#include <functional>

#include "sightglass/cli/frame_counter.h"
#include "sightglass/cli/progress.h"
#include "sightglass/core/result.h"

namespace sightglass::cli {

struct RunOptions {
  uint64_t wanted_frames = 0;     // for the progress bar; 0: unknown
  std::function<void()> on_tick;  // ten times a second, and once at the end
};

struct Outcome {
  Status status;          // the error that has ended it
  std::string failed_in;  // the kind of element that it came from
  int signal = 0;         // or the signal that did
  Totals totals;

  int exit_code() const { return !status ? 1 : signal ? 128 + signal : 0; }
};

// `counter` is attached to the pipeline already. The pipeline is in NULL afterwards. Must not be called by
// two threads at once.
Outcome run_pipeline(GstElement* pipeline, FrameCounter& counter, Progress& progress,
                     const RunOptions& options = {});

// Prints the error of an outcome, if any.
void report(const Outcome& outcome, Progress& progress);

}  // namespace sightglass::cli
