#include "sightglass/adapters/screen/live_picture.h"

#include <gst/app/gstappsink.h>
#include <gst/app/gstappsrc.h>
#include <gst/video/video.h>

#include <chrono>
#include <cstdlib>
#include <utility>

namespace sightglass::adapters {
namespace {

constexpr Time second = 1'000'000'000;

struct UnrefCaps {
  void operator()(GstCaps* caps) const { gst_caps_unref(caps); }
};
using CapsPtr = std::unique_ptr<GstCaps, UnrefCaps>;

// Null: no codec of messages, or one that is not shown.
CapsPtr caps_of(const stream::VideoFrame& frame) {
  const std::string codec = frame.codec.value_or("");
  const char* text = codec == "h264"   ? "video/x-h264,stream-format=byte-stream,alignment=au"
                     : codec == "hevc" ? "video/x-h265,stream-format=byte-stream,alignment=au"
                     : codec == "av1"  ? "video/x-av1,stream-format=obu-stream,alignment=tu"
                     : codec == "vp8"  ? "video/x-vp8"
                     : codec == "vp9"  ? "video/x-vp9"
                     : codec == "png"  ? "image/png"
                     : codec == "jpeg" || codec == "mjpeg"                      ? "image/jpeg"
                     : codec == "raw" && frame.raw && frame.raw->planes.empty() ? "video/x-raw"
                                                                                : nullptr;
  if (!text) return nullptr;
  CapsPtr caps(gst_caps_from_string(text));
  if (codec == "raw")
    gst_caps_set_simple(caps.get(), "format", G_TYPE_STRING, frame.raw->format.c_str(), nullptr);
  if (frame.width > 0 && frame.height > 0)
    gst_caps_set_simple(caps.get(), "width", G_TYPE_INT, int(frame.width), "height", G_TYPE_INT,
                        int(frame.height), "framerate", GST_TYPE_FRACTION,
                        frame.framerate ? int(frame.framerate->num) : 0,
                        frame.framerate ? int(frame.framerate->den) : 1, nullptr);
  return caps;
}

}  // namespace

int64_t steady_ns() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

GstBuffer* buffer_of(const Record& record) {
  auto* const owner = new std::shared_ptr<const void>(record.payload.owner);
  GstBuffer* const buffer = gst_buffer_new_wrapped_full(
      GST_MEMORY_FLAG_READONLY, const_cast<uint8_t*>(record.payload.bytes.data()),
      record.payload.bytes.size(), 0, record.payload.bytes.size(), owner,
      [](gpointer held) { delete static_cast<std::shared_ptr<const void>*>(held); });
  if (!record.keyframe) GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_DELTA_UNIT);
  return buffer;
}

Status init_gstreamer() {
  GError* error = nullptr;
  if (gst_init_check(nullptr, nullptr, &error)) return {};
  const std::string reason = error ? error->message : "no reason is given";
  if (error) g_error_free(error);
  return fail(ErrorCode::unavailable, "GStreamer cannot be used: {}", reason);
}

LivePicture::~LivePicture() { reset(); }

void LivePicture::reset() {
  ElementPtr pipeline, input;
  {
    const std::lock_guard lock(mutex_);
    pipeline = std::move(pipeline_), input = std::move(input_);
  }
  // Its threads come to an end here, and may want the mutex.
  if (pipeline) gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  codec_.clear();
  has_offset_ = false;
}

void LivePicture::cancel() {
  ElementPtr input;
  {
    const std::lock_guard lock(mutex_);
    is_cancelled_ = true;
    if (input_) input.reset(GST_ELEMENT(gst_object_ref(input_.get())));
  }
  // Its thread comes to an end here, and may want the mutex.
  if (input) gst_element_set_state(input.get(), GST_STATE_NULL);
}

Status LivePicture::push(const Record& record) {
  if (record.kind == RecordKind::end_of_stream) {
    reset();
    return {};
  }
  if (record.kind != RecordKind::frame || record.payload.bytes.empty() || !record.message ||
      !record.message->frame)
    return {};
  const stream::VideoFrame& frame = *record.message->frame;
  if (pipeline_) {
    // What has failed begins anew.
    GstBus* const bus = gst_element_get_bus(pipeline_.get());
    GstMessage* const error = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR);
    gst_object_unref(bus);
    if (error) {
      gst_message_unref(error);
      reset();
    } else if (frame.codec.value_or("") != codec_ ||
               (codec_ == "raw" && (frame.width != width_ || frame.height != height_))) {
      reset();
    }
  }
  // What others refer to is missing: a queue was too short.
  if (pipeline_ && !record.keyframe && frame.previous_frame && *frame.previous_frame != last_)
    waits_for_key_ = true;
  if (record.keyframe) waits_for_key_ = false;
  if (waits_for_key_) return {};
  last_ = record.uuid;
  if (!pipeline_) {
    if (!record.keyframe) return {};
    if (Status begun = begin(record); !begun) return begun;
  }
  GstBuffer* const buffer = buffer_of(record);
  GST_BUFFER_PTS(buffer) =
      options_.by_clock && record.pts != no_time ? running_time(record.pts) : GST_CLOCK_TIME_NONE;
  gst_app_src_push_buffer(GST_APP_SRC(input_.get()), buffer);
  return {};
}

// By the clock: the first picture is shown a moment from now, the others as far behind it as they were
// recorded.
GstClockTime LivePicture::running_time(Time pts) {
  const auto now = Time(gst_element_get_current_running_time(pipeline_.get()));
  const Time due = pts + offset_;
  if (!has_offset_ || due < now - second || due > now + 5 * second) {
    has_offset_ = true;
    offset_ = std::max<Time>(now, 0) + second / 10 - pts;
  }
  return GstClockTime(std::max<Time>(pts + offset_, 0));
}

Status LivePicture::begin(const Record& record) {
  const stream::VideoFrame& frame = *record.message->frame;
  const CapsPtr caps = caps_of(frame);
  if (!caps)
    return fail(ErrorCode::unsupported, "{}: pictures of codec {} cannot be shown", record.source_id,
                frame.codec.value_or("none"));
  GError* error = nullptr;
  ElementPtr pipeline(
      gst_parse_launch("appsrc name=input format=time max-buffers=8 max-bytes=0 ! decodebin ! "
                       "queue max-size-buffers=2 max-size-bytes=0 max-size-time=0 ! "
                       "appsink name=output max-buffers=2 caps=video/x-raw",
                       &error));
  if (!pipeline || error) {
    const std::string reason = error ? error->message : "";
    g_clear_error(&error);
    return fail(ErrorCode::unavailable, "{}: no decoder: {}", record.source_id, reason);
  }
  gst_object_ref_sink(pipeline.get());
  ElementPtr input(gst_bin_get_by_name(GST_BIN(pipeline.get()), "input"));
  const ElementPtr output(gst_bin_get_by_name(GST_BIN(pipeline.get()), "output"));
  g_object_set(input.get(), "caps", caps.get(), "block", true, "is-live", true, nullptr);
  g_object_set(output.get(), "sync", gboolean(options_.by_clock), "emit-signals", true, nullptr);
  g_signal_connect(output.get(), "new-sample", G_CALLBACK(&LivePicture::on_sample), this);
  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  codec_ = frame.codec.value_or("");
  width_ = frame.width, height_ = frame.height;
  has_offset_ = false;
  {
    const std::lock_guard lock(mutex_);
    if (!is_cancelled_) {
      pipeline_ = std::move(pipeline);
      input_ = std::move(input);
      return {};
    }
  }
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  return fail(ErrorCode::cancelled, "{}: given up", record.source_id);
}

GstFlowReturn LivePicture::on_sample(GstElement* appsink, gpointer self) {
  return static_cast<LivePicture*>(self)->take(appsink);
}

GstFlowReturn LivePicture::take(GstElement* appsink) {
  SamplePtr sample(gst_app_sink_pull_sample(GST_APP_SINK(appsink)));
  if (!sample) return GST_FLOW_EOS;
  const std::lock_guard lock(mutex_);
  std::swap(latest_, sample);
  latest_ns_ = steady_ns();
  ++pictures_;
  return GST_FLOW_OK;
}

SamplePtr LivePicture::latest(int64_t not_before_ns) const {
  const std::lock_guard lock(mutex_);
  if (!latest_ || latest_ns_ < not_before_ns) return nullptr;
  return SamplePtr(gst_sample_ref(latest_.get()));
}

uint64_t LivePicture::pictures() const {
  const std::lock_guard lock(mutex_);
  return pictures_;
}

}  // namespace sightglass::adapters
