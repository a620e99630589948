// Stages of a bin (sightglass/bins/bin.h) as GStreamer elements. What is wrong with one is said before the
// pipeline runs, in one line.
#pragma once

#include <gst/gst.h>

#include "sightglass/bins/bin.h"
#include "sightglass/core/result.h"
#include "sightglass/memory/gst/handles.h"

namespace sightglass::gst {

// Makes one element. Settings of our own elements are checked against their descriptors, since GObject only
// prints what is out of range.
Result<ElementPtr> make_element(const ElementSettings& settings);

// Makes the elements of a stage and links them inside `bin`; gives the first and the last.
struct Chain {
  GstElement* first = nullptr;  // owned by the bin
  GstElement* last = nullptr;
};
Result<Chain> add_stage(GstBin* bin, const Stage& stage);

// A queue of that many buffers, limited by nothing else.
ElementSettings queue_of(unsigned buffers);

}  // namespace sightglass::gst
