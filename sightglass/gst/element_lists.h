// Buffers that go through an element of ours together, as GStreamer's buffer lists.
//
// A list that arrives is given to a Transform as one call of process_list() (ListedFrames); elements in place
// get its buffers one by one (chain_one_by_one). What a Transform makes of one frame leaves as a list again
// (HeldBuffers) where somebody behind a queue can use that. Threads: that of the element's sink pad.
#pragma once

#include <gst/gst.h>

#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/gst/frame_bridge.h"

namespace sightglass::gst {

// The frames of a list; keeps their capacity from list to list.
class ListedFrames {
 public:
  // The frames go to the element together, so the gaps between them are announced ahead of them
  // (batch/batch_order.h) and those at either end keep their place. Errors are the element's, and those of
  // buffers that `input` cannot read.
  Status run(GstBufferList* list, FrameBridge& input, bool reads_results, Transform& element, Output& out);

 private:
  std::vector<Frame> frames_;
};

// A few buffers that wait for their like: each alone would wake up the thread behind the queue.
class HeldBuffers {
 public:
  HeldBuffers() = default;
  HeldBuffers(const HeldBuffers&) = delete;
  ~HeldBuffers() { drop(); }

  // Takes the buffer; `more`: others follow it at once, which it may wait for.
  GstFlowReturn push(GstPad* pad, GstBuffer* buffer, bool more);
  GstFlowReturn send(GstPad* pad);  // what is held; ok if nothing is
  void drop();

 private:
  static constexpr guint most = 4;  // so that whoever follows has something to do soon
  GstBufferList* list_ = nullptr;
};

// A chain-list function: gives the pad's chain function each buffer without the list, whose reference would
// make it read-only.
GstFlowReturn chain_one_by_one(GstPad* pad, GstObject* parent, GstBufferList* list);

}  // namespace sightglass::gst
