#include "sightglass/adapters/preview/picture_encoder.h"

#include <gst/app/gstappsink.h>
#include <gst/app/gstappsrc.h>

#include <algorithm>
#include <format>
#include <string>
#include <utility>

namespace sightglass::adapters {
namespace {

bool has_element(const char* name) {
  GstElementFactory* const factory = gst_element_factory_find(name);
  if (!factory) return false;
  gst_object_unref(factory);
  return true;
}

std::string encoder_text(const PictureEncoder::Options& options) {
  const int group = std::max(1, int(options.fps * 2));
  // Parameter sets stand in front of each keyframe, where players begin.
  constexpr const char* parsed =
      "h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au";
  if (has_element("x264enc"))
    return std::format(
        "x264enc tune=zerolatency speed-preset=ultrafast key-int-max={} bitrate={} ! "
        "video/x-h264,profile=baseline ! {}",
        group, options.bitrate, parsed);
  if (has_element("openh264enc"))
    return std::format("openh264enc gop-size={} bitrate={} ! {}", group, options.bitrate * 1000, parsed);
  return "jpegenc";
}

}  // namespace

bool PictureEncoder::makes_h264() { return has_element("x264enc") || has_element("openh264enc"); }

PictureEncoder::PictureEncoder(GstCaps& caps, const Options& options, Take take) : take_(std::move(take)) {
  pipeline_.reset(gst_parse_launch(
      std::format("appsrc name=pictures is-live=true format=time do-timestamp=true block=false max-buffers=4 "
                  "leaky-type=downstream ! videoconvert ! {} ! "
                  "appsink name=units sync=false emit-signals=true max-buffers=4",
                  encoder_text(options))
          .c_str(),
      nullptr));
  gst_object_ref_sink(pipeline_.get());
  input_.reset(gst_bin_get_by_name(GST_BIN(pipeline_.get()), "pictures"));
  g_object_set(input_.get(), "caps", &caps, nullptr);
  const ElementPtr output(gst_bin_get_by_name(GST_BIN(pipeline_.get()), "units"));
  g_signal_connect(output.get(), "new-sample", G_CALLBACK(&PictureEncoder::on_sample), this);
  gst_element_set_state(pipeline_.get(), GST_STATE_PLAYING);
}

PictureEncoder::~PictureEncoder() { gst_element_set_state(pipeline_.get(), GST_STATE_NULL); }

void PictureEncoder::push(GstBuffer& picture) {
  // Its own times, the same pixels.
  GstBuffer* const buffer = gst_buffer_copy(&picture);
  GST_BUFFER_PTS(buffer) = GST_BUFFER_DTS(buffer) = GST_CLOCK_TIME_NONE;
  gst_app_src_push_buffer(GST_APP_SRC(input_.get()), buffer);
}

GstFlowReturn PictureEncoder::on_sample(GstElement* appsink, gpointer self) {
  const SamplePtr sample(gst_app_sink_pull_sample(GST_APP_SINK(appsink)));
  if (!sample) return GST_FLOW_EOS;
  static_cast<PictureEncoder*>(self)->take_(*gst_sample_get_buffer(sample.get()));
  return GST_FLOW_OK;
}

}  // namespace sightglass::adapters
