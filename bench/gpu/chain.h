// Pipelines of the benchmark: a clip, its decoder, and elements behind it.
#pragma once

#include <gst/gst.h>

#include <memory>
#include <string>
#include <vector>

namespace sightglass::bench {

struct ChainWishes {
  std::string clip;      // H.264 or HEVC in MP4; the name says which
  std::string elements;  // behind the decoder; empty: the decoder alone
  bool on_cpu = false;   // a decoder in software and frames in system memory
  long device = 0;       // of the decoder
  bool live = false;  // each frame at its time, and what cannot be kept up with is dropped behind the decoder
  long frames = 0;    // end after so many; 0: at the end of the clip
};

struct PipelineEnd {
  void operator()(GstElement* pipeline) const {
    gst_element_set_state(pipeline, GST_STATE_NULL);
    gst_object_unref(pipeline);
  }
};
using Pipeline = std::unique_ptr<GstElement, PipelineEnd>;

// Null where it cannot be made, which is said on standard error. The sink is called "end".
Pipeline make_chain(const ChainWishes& wishes);

// `see` for the buffers and events that reach the sink.
void watch_end(GstElement* pipeline, GstPadProbeCallback see, void* data);

// What has been posted until the end of the stream, an error, or for so long. False: an error, or not the
// end. Errors and warnings go to standard error.
bool wait_for_end(GstElement* pipeline, GstClockTime patience);
// Only what is there already. False: an error.
bool read_messages(GstElement* pipeline);

}  // namespace sightglass::bench
