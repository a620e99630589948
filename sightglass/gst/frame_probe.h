// A function between two elements: called with every frame that passes a pad, as an in-place element would
// be, but without being one.
//
//   auto* probe = add_frame_probe(pad, {.results = true}, [&](Frame& frame) -> Result<Verdict> {
//     if (frame.regions.empty()) return Verdict::drop;
//     return Verdict::pass;
//   });
//
// What the function changes of regions and attributes is written back to the buffer, which is copied for it
// (not its pixels) when others hold it as well. Verdict::drop takes the frame out, Verdict::gap leaves a GAP
// event in its place, for joins that would wait for it. An error is posted as that of the pad's element, and
// the flow ends with it; the code `cancelled` ends it without a message.
//
// The function runs on the pad's streaming thread. Without `results` and `pixels` a call costs some tens of
// nanoseconds; nothing is allocated once warm but what a change of results needs.
#pragma once

#include <gst/gst.h>

#include <functional>

#include "sightglass/core/element.h"
#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"

namespace sightglass::gst {

struct FrameProbeOptions {
  bool results = true;         // frame.regions and frame.attributes are read, and written back when changed
  bool pixels = false;         // frame.tensors are there, to be mapped
  bool writes_pixels = false;  // and may be written: shared pixels are copied before
};
using FrameFunction = std::function<Result<Verdict>(Frame& frame)>;

// Before the first frame. The function lives until the probe is removed or the pad has gone.
gulong add_frame_probe(GstPad* pad, const FrameProbeOptions& options, FrameFunction function);

}  // namespace sightglass::gst
