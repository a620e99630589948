#include "bench/gpu/chain.h"

#include <cstdio>
#include <format>

namespace sightglass::bench {
namespace {

// True: an error.
bool print_message(GstMessage* message) {
  const auto type = GST_MESSAGE_TYPE(message);
  if (type != GST_MESSAGE_ERROR && type != GST_MESSAGE_WARNING) return false;
  GError* error = nullptr;
  gchar* debug = nullptr;
  type == GST_MESSAGE_ERROR ? gst_message_parse_error(message, &error, &debug)
                            : gst_message_parse_warning(message, &error, &debug);
  std::fprintf(stderr, "%s (%s)\n", error->message, debug ? debug : "");
  g_clear_error(&error);
  g_free(debug);
  return type == GST_MESSAGE_ERROR;
}

constexpr auto interesting = GstMessageType(GST_MESSAGE_ERROR | GST_MESSAGE_WARNING | GST_MESSAGE_EOS);

}  // namespace

Pipeline make_chain(const ChainWishes& wishes) {
  const auto& clip = wishes.clip;
  const std::string codec = clip.find("265") != clip.npos || clip.find("hevc") != clip.npos ? "h265" : "h264";
  const std::string of_device = wishes.device > 0 ? std::format("device{}", wishes.device) : "";
  const std::string decoder =
      wishes.on_cpu ? std::format("avdec_{} max-threads=1 ! video/x-raw", codec)
                    : std::format("nv{}{}dec ! video/x-raw(memory:CUDAMemory)", codec, of_device);
  std::string text = std::format("filesrc location={} ! qtdemux ! {}parse", clip, codec);
  if (wishes.live || wishes.frames > 0)
    text += std::format(" ! identity name=pace sync={}{}", wishes.live,
                        wishes.frames > 0 ? std::format(" eos-after={}", wishes.frames + 1) : "");
  text += " ! " + decoder;
  if (wishes.live) text += " ! queue leaky=downstream max-size-buffers=3 max-size-time=0 max-size-bytes=0";
  if (!wishes.elements.empty()) text += " ! " + wishes.elements;
  text += " ! fakesink name=end sync=false async=false";
  GError* error = nullptr;
  Pipeline pipeline(gst_parse_launch(text.c_str(), &error));
  if (!error) return pipeline;
  std::fprintf(stderr, "%s: %s\n", text.c_str(), error->message);
  g_clear_error(&error);
  return nullptr;
}

void watch_end(GstElement* pipeline, GstPadProbeCallback see, void* data) {
  auto* end = gst_bin_get_by_name(GST_BIN(pipeline), "end");
  auto* pad = gst_element_get_static_pad(end, "sink");
  gst_pad_add_probe(pad, GstPadProbeType(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM),
                    see, data, nullptr);
  gst_object_unref(pad);
  gst_object_unref(end);
}

bool wait_for_end(GstElement* pipeline, GstClockTime patience) {
  auto* bus = gst_element_get_bus(pipeline);
  bool has_ended = false, has_failed = false;
  while (!has_ended && !has_failed) {
    auto* message = gst_bus_timed_pop_filtered(bus, patience, interesting);
    if (!message) break;
    has_ended = GST_MESSAGE_TYPE(message) == GST_MESSAGE_EOS;
    has_failed = print_message(message);
    gst_message_unref(message);
  }
  gst_object_unref(bus);
  return has_ended && !has_failed;
}

bool read_messages(GstElement* pipeline) {
  auto* bus = gst_element_get_bus(pipeline);
  bool has_failed = false;
  while (auto* message = gst_bus_pop_filtered(bus, interesting)) {
    has_failed = print_message(message) || has_failed;
    gst_message_unref(message);
  }
  gst_object_unref(bus);
  return !has_failed;
}

}  // namespace sightglass::bench
