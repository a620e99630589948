// Results as metas of the buffers that an element of ours lets go: in GStreamer's own form where anybody may
// read them, as one compact meta inside a bin of ours (frame_meta.h). Threads: that of the element's sink
// pad.
#pragma once

#include <gst/base/gstbasetransform.h>

#include <string>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/gst/frame_bridge.h"
#include "sightglass/gst/frame_meta.h"
#include "sightglass/gst/results.h"

namespace sightglass::gst {

// What happens to the buffers that an element pushes.
struct Followers {
  Readers readers = Readers::anybody;
  bool takes_lists = false;  // a queue, and behind it an element of ours that splits lists up
};

// Who reads the metas of what the element pushes: its bin and what follows, past queues and elements that
// work in place, up to the one that takes the buffer. `desc_of` knows the elements that are ours; null:
// others.
Followers followers_of(GstBaseTransform* self, const ElementDesc* (*desc_of)(GstElement*));

class ElementResults {
 public:
  explicit ElementResults(GstBaseTransform* self) : self_(self) {}

  void set_followers(const Followers& followers) { followers_ = followers; }
  bool takes_lists() const { return followers_.takes_lists; }

  // In place: what the frame had before the element, and then what has changed of it. Attributes are kept by
  // the caller, since they may hold the buffer; new regions get their ids.
  void remember(const Frame& frame);
  void write_changes(Frame& frame, const AttributesRef& attributes_before, const FrameBridge& input,
                     bool reads_results, bool writes_roi, GstBuffer* buffer);
  // Of a frame that was made anew. Regions keep their ids towards the aggregator through the source meta; on
  // this buffer they are numbered anew.
  void write_new(const Frame& frame, const FrameBridge& output, GstBuffer* buffer);

 private:
  GstBaseTransform* const self_;
  Followers followers_;
  ResultWriter writer_;
  // Kept for their capacity.
  std::vector<Region> regions_before_;
  std::string json_before_;
  Frame numbered_;
};

// A warning of the element when a frame has had too many objects for the first time.
void warn_of_dropped_objects(GstElement* element, ResultWriter& results);

}  // namespace sightglass::gst
