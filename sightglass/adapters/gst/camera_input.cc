// The `camera` source. A camera that is away is looked for again and again; the one that comes back is known
// by its stable id, whatever device file it gets.
#include <chrono>
#include <filesystem>
#include <utility>

#include "sightglass/adapters/gst/camera_pipeline.h"
#include "sightglass/adapters/gst/gst_input.h"
#include "sightglass/adapters/module_adapter.h"
#include "sightglass/adapters/sources/live/live_source.h"
#include "sightglass/adapters/sources/source_names.h"
#include "sightglass/core/masked_url.h"

namespace sightglass::adapters {
namespace {

Result<std::string> path_of(const CameraDevice& device) {
  if (device.kind == CameraKind::usb) return usb_camera_path(device.id);
  if (device.kind != CameraKind::path) return std::string();
  std::error_code ignored;
  if (std::filesystem::exists(device.id, ignored)) return device.id;
  const std::string known = known_cameras();
  return fail(ErrorCode::not_found, "the camera {} is not there; {}{}", device.id,
              known.empty() ? "nor is any other" : "there are: ", known);
}

Result<GstElement*> parse(const std::string& text) {
  GError* error = nullptr;
  GstElement* made =
      gst_parse_bin_from_description_full(text.c_str(), TRUE, nullptr, GST_PARSE_FLAG_FATAL_ERRORS, &error);
  if (made) return made;
  const std::string reason = error ? masked_url(error->message) : "GStreamer does not say why";
  const bool is_missing = error && error->code == GST_PARSE_ERROR_NO_SUCH_ELEMENT;
  g_clear_error(&error);
  return fail(
      is_missing ? ErrorCode::unavailable : ErrorCode::invalid_argument, "{}{}", reason,
      is_missing ? " (v4l2src: gstreamer1.0-plugins-good; libcamerasrc: gstreamer1.0-libcamera)" : "");
}

class CameraInput final : public GstInput {
 public:
  CameraInput(CameraParams params, CameraDevice device)
      : GstInput(params.device.starts_with("gst:") ? "gst" : params.device),
        params_(std::move(params)),
        device_(std::move(device)) {}

 private:
  Status build(GstBin* pipeline, GstElement* sink) override {
    auto path = path_of(device_);
    if (!path) return forward_error(path);
    auto text = camera_pipeline(params_, device_, *path);
    if (!text) return forward_error(text);
    auto source = parse(*text);
    if (!source) return forward_error(source);
    gst_bin_add(pipeline, *source);
    if (!gst_element_link(*source, sink))
      return fail(ErrorCode::not_negotiated, "camera: {} does not end in pictures", shown());
    return {};
  }

  // The camera's pictures are as old as the pipeline's clock says.
  std::optional<int64_t> captured_us(GstClockTime pts) override {
    GstClock* clock = gst_element_get_clock(pipeline());
    if (!clock) return std::nullopt;
    const auto now = int64_t(gst_clock_get_time(clock) - gst_element_get_base_time(pipeline()));
    gst_object_unref(clock);
    using namespace std::chrono;
    return duration_cast<microseconds>(system_clock::now().time_since_epoch()).count() -
           (now - int64_t(pts)) / 1000;
  }

  const CameraParams params_;
  const CameraDevice device_;
};

Result<std::unique_ptr<Source>> create(const ParamSet& set, const SourceContext& context) {
  CameraParams params = set.as<CameraParams>();
  const auto named = [&](auto& failed) {
    failed.error().message = context.name + ": " + failed.error().message;
    return forward_error(failed);
  };
  auto device = camera_device(params.device);
  if (!device) return named(device);
  auto text = camera_pipeline(params, *device, device->id);
  if (!text) return named(text);
  if (Status ready = init_gst(); !ready) return forward_error(ready);
  // What cannot be built will never be; what is not there may come.
  auto tried = parse(*text);
  if (!tried) return named(tried);
  gst_object_unref(gst_object_ref_sink(*tried));
  if (params.source_id.empty())
    params.source_id = device->kind == CameraKind::launch ? "camera" : source_id_of(device->id);
  if (Status valid = check_source_id(params.source_id); !valid) return forward_error(valid);
  return std::make_unique<LiveSource>(
      params, [params, device = *device] { return std::make_shared<CameraInput>(params, device); });
}

const ModuleSource registration("camera", &create);

}  // namespace
}  // namespace sightglass::adapters
