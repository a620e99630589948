// The GStreamer text by which a camera is read, from the parameters of the `camera` source.
//
//   camera_pipeline({.device = "/dev/video0", .format = "mjpeg", .size = "1280x720"})
//     v4l2src device="/dev/video0" ! capsfilter caps=image/jpeg,width=1280,height=720
#pragma once

#include <string>
#include <string_view>

#include "sightglass/adapters/sources/live/camera_params.h"
#include "sightglass/core/result.h"

namespace sightglass::adapters {

enum class CameraKind : uint8_t { path, usb, libcamera, launch };

struct CameraDevice {
  CameraKind kind = CameraKind::path;
  std::string id;  // path, VENDOR:PRODUCT[:SERIAL], libcamera's name, GStreamer text
};
// From `device`: errors name the forms that there are.
Result<CameraDevice> camera_device(std::string_view device);

// The device file of a USB camera which is there now, by what the kernel says below `sys`. not_found: it is
// not.
Result<std::string> usb_camera_path(std::string_view id, const std::string& sys = "/sys/class/video4linux");
// Names of the cameras that are there, for people; empty: none.
std::string known_cameras(const std::string& by_id = "/dev/v4l/by-id");

// Whatever is wrong with size, format, rate and controls is an error; the device need not be there. `path`:
// the device file of kinds path and usb.
Result<std::string> camera_pipeline(const CameraParams& params, const CameraDevice& device,
                                    const std::string& path);

}  // namespace sightglass::adapters
