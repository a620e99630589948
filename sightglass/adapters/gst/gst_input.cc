#include "sightglass/adapters/gst/gst_input.h"

#include <gst/app/gstappsink.h>
#include <gst/video/video.h>

#include <chrono>
#include <future>
#include <thread>
#include <utility>

#include "sightglass/core/left_behind.h"
#include "sightglass/core/masked_url.h"

namespace sightglass::adapters {
namespace {

constexpr GstClockTime patience = 100 * GST_MSECOND;  // between two looks at is_cancelled_
constexpr auto stop_timeout = std::chrono::seconds(5);
constexpr unsigned most_waiting = 8;  // buffers in the appsink; frames wait in the LiveSource

std::string_view codec_of(std::string_view caps) {
  static constexpr std::pair<std::string_view, std::string_view> names[] = {
      {"video/x-h264", "h264"}, {"video/x-h265", "hevc"}, {"video/x-av1", "av1"}, {"video/x-vp8", "vp8"},
      {"video/x-vp9", "vp9"},   {"image/jpeg", "mjpeg"},  {"image/png", "png"},   {"video/x-raw", "raw"}};
  for (const auto& [media, codec] : names)
    if (media == caps) return codec;
  return {};
}

struct Mapped {
  explicit Mapped(GstBuffer* from) : buffer(gst_buffer_ref(from)) {
    is_mapped = gst_buffer_map(buffer, &map, GST_MAP_READ);
  }
  ~Mapped() {
    if (is_mapped) gst_buffer_unmap(buffer, &map);
    gst_buffer_unref(buffer);
  }
  Mapped(const Mapped&) = delete;
  GstBuffer* buffer;
  GstMapInfo map{};
  bool is_mapped = false;
};

// Stops a pipeline on a thread of its own, and waits a while.
void dispose(GstElement* pipeline) {
  auto stopped = std::make_shared<std::promise<void>>();
  auto done = stopped->get_future();
  std::thread([pipeline, stopped] {
    gst_element_set_state(pipeline, GST_STATE_NULL);
    gst_object_unref(pipeline);
    stopped->set_value();
  }).detach();
  if (done.wait_for(stop_timeout) != std::future_status::ready) note_thread_left_behind();
}

}  // namespace

Status init_gst() {
  GError* error = nullptr;
  if (gst_init_check(nullptr, nullptr, &error)) return {};
  const std::string reason = error ? error->message : "unknown reason";
  g_clear_error(&error);
  return fail(ErrorCode::unavailable, "GStreamer does not start: {}", reason);
}

GstInput::~GstInput() {
  close();
  if (sink_) gst_object_unref(sink_);
  if (caps_) gst_caps_unref(caps_);
}

void GstInput::close() {
  if (GstElement* const pipeline = std::exchange(pipeline_, nullptr)) dispose(pipeline);
}

Status GstInput::open() {
  pipeline_ = gst_pipeline_new(nullptr);
  gst_object_ref_sink(pipeline_);
  // Nobody takes the other messages: they would pile up while frames flow.
  const auto keep = [](GstBus*, GstMessage* message, gpointer) {
    if (GST_MESSAGE_TYPE(message) & (GST_MESSAGE_ERROR | GST_MESSAGE_EOS)) return GST_BUS_PASS;
    gst_message_unref(message);
    return GST_BUS_DROP;
  };
  gst_bus_set_sync_handler(GST_ELEMENT_BUS(pipeline_), keep, nullptr, nullptr);
  sink_ = gst_element_factory_make("appsink", nullptr);
  if (!sink_)
    return fail(ErrorCode::unavailable, "GStreamer's appsink is missing (gstreamer1.0-plugins-base)");
  // Whoever asks for a keyframe may still have it when the pipeline is gone.
  gst_object_ref_sink(sink_);
  g_object_set(sink_, "sync", FALSE, "max-buffers", most_waiting, "wait-on-eos", FALSE, nullptr);
  gst_bin_add(GST_BIN(pipeline_), sink_);
  if (Status built = build(GST_BIN(pipeline_), sink_); !built) return built;
  if (gst_element_set_state(pipeline_, GST_STATE_PLAYING) == GST_STATE_CHANGE_FAILURE) return failed();
  requested_ = sink_;
  return {};
}

Result<std::optional<LiveUnit>> GstInput::next() {
  GstBus* bus = GST_ELEMENT_BUS(pipeline_);
  while (!is_cancelled_) {
    if (GstSample* sample = gst_app_sink_try_pull_sample(GST_APP_SINK(sink_), patience)) {
      auto made = unit(sample);
      gst_sample_unref(sample);
      return made;
    }
    if (gst_app_sink_is_eos(GST_APP_SINK(sink_))) return std::nullopt;
    GstMessage* message = gst_bus_pop_filtered(bus, GstMessageType(GST_MESSAGE_ERROR | GST_MESSAGE_EOS));
    if (!message) continue;
    const bool is_error = GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR;
    if (!is_error) {
      gst_message_unref(message);
      return std::nullopt;
    }
    gst_bus_post(bus, message);
    return failed();
  }
  return fail(ErrorCode::cancelled, "{}: stopped on request", shown_);
}

std::unexpected<Error> GstInput::failed() {
  if (is_cancelled_) return fail(ErrorCode::cancelled, "{}: stopped on request", shown_);
  std::string reason = "GStreamer does not say why";
  if (GstMessage* message = gst_bus_pop_filtered(GST_ELEMENT_BUS(pipeline_), GST_MESSAGE_ERROR)) {
    GError* error = nullptr;
    gst_message_parse_error(message, &error, nullptr);
    if (error) reason = explain(*error);
    g_clear_error(&error);
    gst_message_unref(message);
  }
  return fail(ErrorCode::io, "{}: {}", shown_, reason);
}

std::string GstInput::explain(const GError& error) const { return masked_url(error.message); }

void GstInput::request_keyframe() {
  GstElement* const sink = requested_;
  if (!sink) return;
  gst_element_send_event(sink, gst_event_new_custom(GST_EVENT_CUSTOM_UPSTREAM,
                                                    gst_structure_new("GstForceKeyUnit", "all-headers",
                                                                      G_TYPE_BOOLEAN, TRUE, nullptr)));
}

Status GstInput::read_caps(GstCaps* caps) {
  if (caps_ && gst_caps_is_equal(caps_, caps)) return {};
  const GstStructure* structure = gst_caps_get_structure(caps, 0);
  auto info = std::make_shared<MediaInfo>();
  info->codec = codec_of(gst_structure_get_name(structure));
  if (info->codec.empty())
    return fail(ErrorCode::unsupported, "{}: its video is {}, which messages cannot carry", shown_,
                gst_structure_get_name(structure));
  (void)gst_structure_get_int(structure, "width", &info->width);
  (void)gst_structure_get_int(structure, "height", &info->height);
  int num = 0, den = 1;
  if (gst_structure_get_fraction(structure, "framerate", &num, &den) && num > 0) info->framerate = {num, den};
  if (gst_structure_get_fraction(structure, "pixel-aspect-ratio", &num, &den) && num > 0)
    info->pixel_aspect = {num, den};
  info_ = std::move(info);
  gst_caps_replace(&caps_, caps);
  return {};
}

Result<std::optional<LiveUnit>> GstInput::unit(GstSample* sample) {
  GstBuffer* const buffer = gst_sample_get_buffer(sample);
  GstCaps* const caps = gst_sample_get_caps(sample);
  if (!buffer || !caps) return fail(ErrorCode::internal, "{}: a frame without a format", shown_);
  if (Status read = read_caps(caps); !read) return forward_error(read);
  const auto mapped = std::make_shared<Mapped>(buffer);
  if (!mapped->is_mapped) return fail(ErrorCode::exhausted, "{}: a frame cannot be read", shown_);
  LiveUnit made{.info = info_};
  made.gap = GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DISCONT) ||
             GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_CORRUPTED);
  made.unit.keyframe = !GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DELTA_UNIT);
  const GstClockTime pts = GST_BUFFER_PTS_IS_VALID(buffer) ? GST_BUFFER_PTS(buffer) : GST_BUFFER_DTS(buffer);
  made.unit.pts = GST_CLOCK_TIME_IS_VALID(pts) ? int64_t(pts) : next_pts_;
  if (GST_BUFFER_DTS_IS_VALID(buffer)) made.unit.dts = int64_t(GST_BUFFER_DTS(buffer));
  if (GST_BUFFER_DURATION_IS_VALID(buffer)) made.unit.duration = int64_t(GST_BUFFER_DURATION(buffer));
  next_pts_ = made.unit.pts + std::max<int64_t>(made.unit.duration, 1);
  if (GST_CLOCK_TIME_IS_VALID(pts)) made.unit.captured_us = captured_us(pts);
  made.unit.payload = {{mapped->map.data, mapped->map.size}, mapped};
  return made;
}

}  // namespace sightglass::adapters
