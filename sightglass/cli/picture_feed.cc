#include "sightglass/cli/picture_feed.h"

#include <gst/app/gstappsink.h>

#include <memory>

#include "sightglass/cli/pipeline_plan.h"
#include "sightglass/cli/pipeline_text.h"

namespace sightglass::cli {
namespace {

struct UnrefSample {
  void operator()(GstSample* sample) const { gst_sample_unref(sample); }
};
using SamplePtr = std::unique_ptr<GstSample, UnrefSample>;

constexpr GstClockTime patience = 20 * GST_SECOND;

Result<SamplePtr> read_picture(const std::filesystem::path& file) {
  const PipelinePlan plan{
      {"filesrc", {{"location", file.string()}}},
      {"decodebin"},
      {"videoconvert"},
      {"videoflip", {{"video-direction", "auto"}}},  // as the camera was held
      {"videoconvert"},
      caps_filter("video/x-raw,format=RGB"),
      {"appsink", {{"sync", "false"}}, "picture"},
  };
  auto pipeline = build_pipeline(plan);
  if (!pipeline) return forward_error(pipeline);
  gst::ElementPtr sink(gst_bin_get_by_name(GST_BIN(pipeline->get()), "picture"));
  gst_element_set_state(pipeline->get(), GST_STATE_PLAYING);
  auto* bus = gst_element_get_bus(pipeline->get());
  SamplePtr sample;
  Status status;
  // The sink would wait for a frame that an error has prevented.
  for (GstClockTime waited = 0; !sample && status && waited < patience; waited += 20 * GST_MSECOND) {
    sample.reset(gst_app_sink_try_pull_sample(GST_APP_SINK(sink.get()), 20 * GST_MSECOND));
    if (sample) break;
    if (auto* message = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR)) {
      status = std::unexpected(message_error(message));
      gst_message_unref(message);
    } else if (gst_app_sink_is_eos(GST_APP_SINK(sink.get()))) {
      status = fail(ErrorCode::corrupt, "there is no picture in this file");
    }
  }
  gst_element_set_state(pipeline->get(), GST_STATE_NULL);
  gst_object_unref(bus);
  if (!status) return forward_error(status);
  if (!sample) return fail(ErrorCode::corrupt, "the picture does not come");
  return sample;
}

}  // namespace

void PictureFeed::attach(GstAppSrc* source) {
  g_signal_connect(source, "need-data", G_CALLBACK(+[](GstAppSrc* from, guint, gpointer self) {
                     static_cast<PictureFeed*>(self)->push_next(from);
                   }),
                   this);
}

void PictureFeed::push_next(GstAppSrc* source) {
  while (next_ < pictures_.size()) {
    const size_t index = next_++;
    auto sample = read_picture(pictures_[index]);
    if (!sample) {
      warn_(std::format("{}: left out: {}", pictures_[index].string(), sample.error().message));
      continue;
    }
    // A shallow copy: pixels are shared, times are this frame's own.
    auto* buffer = gst_buffer_copy(gst_sample_get_buffer(sample->get()));
    GST_BUFFER_PTS(buffer) = index * step_;
    GST_BUFFER_DTS(buffer) = GST_CLOCK_TIME_NONE;
    GST_BUFFER_DURATION(buffer) = step_;
    ++fed_;
    auto* dated = gst_sample_new(buffer, gst_sample_get_caps(sample->get()), nullptr, nullptr);
    gst_app_src_push_sample(source, dated);
    gst_sample_unref(dated);
    gst_buffer_unref(buffer);
    return;
  }
  gst_app_src_end_of_stream(source);
}

}  // namespace sightglass::cli
