// One stream as somebody looks at it: takes the encoded frames of its records, decodes them, and has the
// latest picture.
//
//   LivePicture live({.by_clock = true});
//   live.push(record);                                   // the sink's thread; waits by the clock, if so
//   asked GstSample* picture = live.latest(now_ns - second);   // any thread; a reference, or null: none as
//   new as this
//
// Decoding begins at a keyframe, and again behind an error, a change of codec or a frame that is missing. Any
// memory of the decoder is system memory here. A picture costs no copy.
#pragma once

#include <gst/gst.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "sightglass/adapters/record.h"

namespace sightglass::adapters {

struct UnrefObject {
  void operator()(gpointer object) const { gst_object_unref(object); }
};
using ElementPtr = std::unique_ptr<GstElement, UnrefObject>;
struct UnrefSample {
  void operator()(GstSample* sample) const { gst_sample_unref(sample); }
};
using SamplePtr = std::unique_ptr<GstSample, UnrefSample>;

// GStreamer, once.
Status init_gstreamer();

class LivePicture {
 public:
  struct Options {
    bool by_clock = false;  // pictures are shown by their times, and push() waits for them
  };
  explicit LivePicture(const Options& options) : options_(options) {}
  ~LivePicture();
  LivePicture(const LivePicture&) = delete;
  LivePicture& operator=(const LivePicture&) = delete;

  // A codec that cannot be decoded here is an error, of each keyframe.
  Status push(const Record& record);
  void reset();   // decoding begins anew; the latest picture stays
  void cancel();  // from another thread: ends the waiting of push(), for good

  // The latest picture, if it came at `not_before_ns` (steady clock) or later.
  SamplePtr latest(int64_t not_before_ns) const;
  uint64_t pictures() const;  // so far

 private:
  Status begin(const Record& record);
  GstFlowReturn take(GstElement* appsink);
  static GstFlowReturn on_sample(GstElement* appsink, gpointer self);
  GstClockTime running_time(Time pts);

  const Options options_;
  std::string codec_;
  stream::Uuid last_{};  // frame that was pushed
  bool waits_for_key_ = false;
  int width_ = 0, height_ = 0;
  Time offset_ = 0;  // from pts to the pipeline's time
  bool has_offset_ = false;

  mutable std::mutex mutex_;
  ElementPtr pipeline_, input_;
  SamplePtr latest_;
  int64_t latest_ns_ = 0;
  uint64_t pictures_ = 0;
  bool is_cancelled_ = false;
};

int64_t steady_ns();

// The encoded picture of a record, without a copy; a delta unit is flagged as one. The caller's.
GstBuffer* buffer_of(const Record& record);

}  // namespace sightglass::adapters
