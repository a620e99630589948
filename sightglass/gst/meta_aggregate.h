// meta_aggregate: joins the results of branches to the frames that they were computed from.
//
//   tee name=t  t. ! meta_aggregate name=agg max-size-buffers=10 ! …   t. ! … ! tensor_postproc_yolo ! agg.
//
// Frames of the main pad (`sink`, video or audio) pass with memory and caps untouched. Results arrive on
// `tensor_%u`, `meta_%u` or `sink_%u` pads and are matched by running time; each branch closes a frame with a
// result for the whole frame, the result of the frame's last region, a GAP, a later result, or its end. Boxes
// are moved from model input to frame coordinates here, once, by the affine matrix that the pre-processing
// left.
//
// Frames wait here, as many as `max-size-buffers` says, and leave in their order in the thread that brought
// what was missing: the element has no thread, but for `max-wait` in live pipelines, and needs no queue in
// front. What the model may have under way at once is what has to fit. `gvametaaggregate` is the same with
// `sink_%u` pads only, the first of which is the main one.
#pragma once

#include <gst/gst.h>

namespace sightglass::gst {

bool register_meta_aggregate(GstPlugin* plugin);

}  // namespace sightglass::gst
