// The descriptor of `camera`; the code is in the module adapters-gst.
#include "sightglass/adapters/module_adapter.h"
#include "sightglass/adapters/sources/live/camera_params.h"

namespace sightglass::adapters {
namespace {

std::vector<ParamDesc> params() {
  std::vector<ParamDesc> all{
      param(
          "device", &CameraParams::device,
          "/dev/v4l/by-id/…, usb:VENDOR:PRODUCT or usb:VENDOR:PRODUCT:SERIAL, libcamera:ID, or gst:ELEMENT… "
          "for anything else that GStreamer reads")
          .required(),
      param(
          "format", &CameraParams::format,
          "of the pictures: raw, a raw format such as YUY2 or NV12, or mjpeg, h264, hevc, which pass as they "
          "are"),
      param("size", &CameraParams::size, "WIDTHxHEIGHT; empty: the camera's own choice"),
      param("rate", &CameraParams::rate, "frames per second; 0: the camera's own choice"),
      param("controls", &CameraParams::controls,
            "of the camera, each NAME=VALUE as `v4l2-ctl --list-ctrls` names them"),
  };
  add_live_params<CameraParams>(all);
  return all;
}

const SourceRegistration registration(SourceDesc{
    .name = "camera",
    .doc = "a camera of this machine, by USB or CSI (V4L2, libcamera); opened again when it was unplugged",
    .params = ParamTable::of<CameraParams>(params()),
    .create = &create_source_in_module<"adapters-gst", "camera">,
});

}  // namespace
}  // namespace sightglass::adapters
