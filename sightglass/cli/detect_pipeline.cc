#include "sightglass/cli/detect_pipeline.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "sightglass/model/engine.h"

namespace sightglass::cli {
namespace {

PipelinePlan source(const Input& input) {
  switch (input.kind) {
    case Input::Kind::camera:
      return {{"v4l2src", {{"device", input.address}}}, {"decodebin"}};
    case Input::Kind::url:
      return {{"uridecodebin", {{"uri", input.address}}}};
    case Input::Kind::video:
      return {{"filesrc", {{"location", input.address}}}, {"decodebin"}};
    case Input::Kind::pictures:
      break;
  }
  return {{"appsrc",
           {{"format", "time"}, {"block", "true"}, {"max-buffers", "2"}, {"max-bytes", "0"}},
           picture_source}};
}

std::vector<std::pair<std::string, std::string>> model_settings(const std::filesystem::path& model,
                                                                const std::string& device) {
  std::vector<std::pair<std::string, std::string>> settings{{"model", model.string()}};
  if (device != "CPU") settings.emplace_back("device", device);
  return settings;
}

Status check_display() {
  const auto is_set = [](const char* name) {
    const char* value = std::getenv(name);
    return value && *value;
  };
  if (!is_set("DISPLAY") && !is_set("WAYLAND_DISPLAY")) {
    return fail(ErrorCode::unavailable,
                "--show: there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set); --output DIR "
                "writes files instead");
  }
  // Where no display can be opened it would quietly show nothing.
  gst::ElementPtr sink(gst_element_factory_make("autovideosink", nullptr));
  if (!sink)
    return fail(ErrorCode::unavailable,
                "--show: GStreamer has no autovideosink; install gstreamer1.0-plugins-good");
  gst_object_ref_sink(sink.get());
  bool is_usable = gst_element_set_state(sink.get(), GST_STATE_READY) != GST_STATE_CHANGE_FAILURE;
  if (is_usable) {
    for (GList* child = GST_BIN(sink.get())->children; child; child = child->next) {
      auto* factory = gst_element_get_factory(GST_ELEMENT(child->data));
      is_usable = is_usable && !(factory && std::string_view(GST_OBJECT_NAME(factory)) == "fakesink");
    }
  }
  gst_element_set_state(sink.get(), GST_STATE_NULL);
  if (is_usable) return {};
  return fail(ErrorCode::unavailable,
              "--show: the display {} cannot be opened; --output DIR writes files instead",
              std::getenv(is_set("DISPLAY") ? "DISPLAY" : "WAYLAND_DISPLAY"));
}

// H.264 in MP4. The file can be played at any moment, also after the program was killed, because it is
// written in fragments; at a regular end it becomes an ordinary one. Width and height have to be even and of
// some size.
Result<PipelinePlan> video_file(const std::filesystem::path& file) {
  PipelinePlan plan{{"videoconvert"},
                    {"videoscale"},
                    caps_filter("video/x-raw,format=I420,width=[16,16384,2],height=[16,16384,2]")};
  if (has_element("x264enc")) {
    plan.push_back(
        {"x264enc",
         {{"pass", "qual"}, {"quantizer", "23"}, {"speed-preset", "superfast"}, {"key-int-max", "60"}}});
  } else if (has_element("openh264enc")) {
    plan.push_back({"openh264enc", {{"bitrate", "4000000"}}});
  } else {
    return fail(
        ErrorCode::unavailable,
        "--output: GStreamer has no H.264 encoder on this machine; install gstreamer1.0-plugins-ugly");
  }
  plan.push_back({"h264parse"});
  plan.push_back({"mp4mux", {{"fragment-duration", "1000"}, {"fragment-mode", "first-moov-then-finalise"}}});
  plan.push_back({"filesink", {{"location", file.string()}, {"sync", "false"}}});
  return plan;
}

PipelinePlan picture_files() {
  return {{"videoconvert"},
          {"jpegenc", {{"quality", "92"}}},
          {"appsink", {{"sync", "false"}, {"emit-signals", "true"}}, picture_sink}};
}

void append(PipelinePlan& plan, PipelinePlan more, const std::string& after = {}) {
  if (!after.empty()) more.front().after = after;
  plan.insert(plan.end(), more.begin(), more.end());
}

void on_element_added(GstBin*, GstBin*, GstElement* element, gpointer) {
  auto* factory = gst_element_get_factory(element);
  if (!factory || !gst_element_factory_list_is_type(factory, GST_ELEMENT_FACTORY_TYPE_DECODER)) return;
  if (!g_object_class_find_property(G_OBJECT_GET_CLASS(element), "max-threads")) return;
  const std::string threads = std::to_string(std::max(1u, usable_cores() / 4));
  gst_util_set_object_arg(G_OBJECT(element), "max-threads", threads.c_str());
}

}  // namespace

Result<PipelinePlan> plan_detect(const Input& input, const DetectSettings& settings) {
  const bool writes = !settings.output.empty();
  PipelinePlan plan = source(input);
  auto detect = model_settings(settings.model, settings.device);
  if (settings.threshold) detect.emplace_back("threshold", std::format("{}", *settings.threshold));
  if (!settings.model_proc.empty()) detect.emplace_back("model-proc", settings.model_proc);
  plan.push_back({"object_detect", std::move(detect)});
  if (settings.is_tracked) plan.push_back({"object_track"});
  for (const auto& classifier : settings.classifiers)
    plan.push_back({"object_classify", model_settings(classifier, settings.device)});

  if (writes || settings.prints_json)
    plan.push_back({"gvametaconvert", {{"add-empty-results", "true"}}, json_element});
  const auto publish = [&](const std::string& path) {
    plan.push_back({"gvametapublish", {{"file-format", "json-lines"}, {"file-path", path}}});
  };
  if (writes) publish((settings.output / "detections.jsonl").string());
  if (settings.prints_json) publish("stdout");

  if (!writes && !settings.is_shown) {
    plan.push_back({"fakesink", {{"sync", "false"}, {"enable-last-sample", "false"}}});
    return plan;
  }
  plan.push_back({"meta_overlay"});
  if (writes && settings.is_shown) plan.push_back({"tee", {}, "drawn"});
  const std::string after = writes && settings.is_shown ? "drawn" : "";
  if (settings.is_shown) {
    if (auto status = check_display(); !status) return forward_error(status);
    append(plan,
           {{"queue", {{"max-size-buffers", "4"}}},
            {"videoconvert"},
            {"autovideosink", {{"sync", input.kind == Input::Kind::camera ? "false" : "true"}}}},
           after);
  }
  if (writes) {
    append(plan, {{"queue", {{"max-size-buffers", "8"}}}}, after);
    if (input.kind == Input::Kind::pictures) {
      append(plan, picture_files());
    } else {
      auto file = video_file(settings.output / "annotated.mp4");
      if (!file) return forward_error(file);
      append(plan, std::move(*file));
    }
  }
  return plan;
}

void limit_decoder_threads(GstElement* pipeline) {
  g_signal_connect(pipeline, "deep-element-added", G_CALLBACK(on_element_added), nullptr);
}

}  // namespace sightglass::cli
