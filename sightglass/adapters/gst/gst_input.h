// A LiveInput that a GStreamer pipeline feeds: whatever makes encoded access units or I420 pictures in front
// of an appsink. What differs is how the pipeline begins.
//
// A pipeline that cannot be stopped within 5 s is left to a thread of its own, so that a broken driver or
// camera never holds up the next attempt.
#pragma once

#include <gst/gst.h>

#include <atomic>
#include <memory>
#include <string>

#include "sightglass/adapters/sources/live/live_input.h"

namespace sightglass::adapters {

// Once per process; unavailable where it does not start.
Status init_gst();

class GstInput : public LiveInput {
 public:
  // `shown` names the input for people.
  explicit GstInput(std::string shown) : shown_(std::move(shown)) {}
  ~GstInput() override;
  Status open() final;
  Result<std::optional<LiveUnit>> next() final;
  void cancel() final { is_cancelled_ = true; }
  void request_keyframe() final;
  void close() final;

 protected:
  // Puts what is needed into the pipeline and links it to the sink, at once or when its pads come.
  virtual Status build(GstBin* pipeline, GstElement* sink) = 0;
  // Wall clock, in µs since 1970, of a buffer with this time; none: not known.
  virtual std::optional<int64_t> captured_us(GstClockTime pts) = 0;
  // What to tell of an error of the pipeline.
  virtual std::string explain(const GError& error) const;
  const std::string& shown() const { return shown_; }
  GstElement* pipeline() const { return pipeline_; }

 private:
  std::unexpected<Error> failed();
  Status read_caps(GstCaps* caps);
  Result<std::optional<LiveUnit>> unit(GstSample* sample);

  const std::string shown_;
  std::atomic<bool> is_cancelled_ = false;
  std::atomic<GstElement*> requested_ = nullptr;
  GstElement* pipeline_ = nullptr;
  GstElement* sink_ = nullptr;
  GstCaps* caps_ = nullptr;  // of info_
  std::shared_ptr<const MediaInfo> info_;
  int64_t next_pts_ = 0;  // for buffers without a time
};

}  // namespace sightglass::adapters
