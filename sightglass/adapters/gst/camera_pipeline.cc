#include "sightglass/adapters/gst/camera_pipeline.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <format>
#include <fstream>
#include <optional>
#include <vector>

#include "sightglass/core/folder.h"

namespace sightglass::adapters {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view forms =
    "/dev/v4l/by-id/…, usb:VENDOR:PRODUCT, usb:VENDOR:PRODUCT:SERIAL, libcamera:ID or gst:ELEMENT…";

struct Format {
  std::string_view name, caps, behind;
};
constexpr Format encoded[] = {
    {"mjpeg", "image/jpeg", ""},
    {"h264", "video/x-h264",
     " ! h264parse config-interval=-1 ! capsfilter caps=video/x-h264,stream-format=byte-stream,alignment=au"},
    {"hevc", "video/x-h265",
     " ! h265parse config-interval=-1 ! capsfilter caps=video/x-h265,stream-format=byte-stream,alignment=au"},
};
constexpr std::string_view raw_formats[] = {"I420",  "YV12", "NV12", "NV21", "YUY2", "UYVY", "YVYU", "Y42B",
                                            "GRAY8", "RGB",  "BGR",  "RGBx", "BGRx", "RGBA", "BGRA"};
// What messages carry.
constexpr std::string_view to_i420 = " ! videoconvert ! capsfilter caps=video/x-raw,format=I420";

// As text that GStreamer's parser reads.
std::string gst_quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::optional<std::pair<int, int>> size_of(std::string_view text) {
  int width = 0, height = 0;
  const char* const end = text.data() + text.size();
  const auto [x, error] = std::from_chars(text.data(), end, width);
  if (error != std::errc{} || x == end || *x != 'x') return std::nullopt;
  const auto [last, wrong] = std::from_chars(x + 1, end, height);
  if (wrong != std::errc{} || last != end || width < 1 || height < 1 || width > 32768 || height > 32768)
    return std::nullopt;
  return std::pair(width, height);
}

bool is_word(std::string_view text, std::string_view also) {
  return !text.empty() && std::ranges::all_of(text, [&](unsigned char c) {
    return std::isalnum(c) || also.contains(char(c));
  });
}

// "brightness=10" one by one, joined as an element wants it.
Result<std::string> control_text(const CameraParams& params, bool as_properties) {
  std::string text;
  for (const std::string& control : params.controls) {
    const size_t equals = control.find('=');
    const std::string_view name = std::string_view(control).substr(0, equals);
    const std::string_view value = equals == control.npos ? "" : std::string_view(control).substr(equals + 1);
    if (!is_word(name, "_-") || !is_word(value, "_-."))
      return fail(ErrorCode::invalid_argument, "controls: '{}' is not written NAME=VALUE, as brightness=10",
                  control.substr(0, 60));
    text += as_properties ? std::format(" {}={}", name, value) : std::format(",{}={}", name, value);
  }
  if (text.empty() || as_properties) return text;
  return std::format(" extra-controls=\"c{}\"", text);
}

}  // namespace

Result<CameraDevice> camera_device(std::string_view device) {
  if (device.starts_with('/')) return CameraDevice{CameraKind::path, std::string(device)};
  const size_t colon = device.find(':');
  const std::string_view kind = device.substr(0, colon);
  const std::string_view id = colon == device.npos ? "" : device.substr(colon + 1);
  if (kind == "libcamera" && !id.empty()) return CameraDevice{CameraKind::libcamera, std::string(id)};
  if (kind == "gst" && !id.empty()) return CameraDevice{CameraKind::launch, std::string(id)};
  const auto is_hex = [](std::string_view word) {
    return word.size() == 4 && word.find_first_not_of("0123456789abcdefABCDEF") == word.npos;
  };
  if (kind == "usb" && id.size() >= 9 && id[4] == ':' && is_hex(id.substr(0, 4)) && is_hex(id.substr(5, 4)) &&
      (id.size() == 9 || (id[9] == ':' && id.size() > 10)))
    return CameraDevice{CameraKind::usb, std::string(id)};
  const std::string known = known_cameras();
  return fail(ErrorCode::invalid_argument, "device: '{}' names no camera; one of: {}{}{}",
              device.substr(0, 80), forms, known.empty() ? "" : "; there are: ", known);
}

Result<std::string> usb_camera_path(std::string_view id, const std::string& sys) {
  const std::string vendor(id.substr(0, 4)), product(id.substr(5, 4));
  const std::string serial(id.size() > 10 ? id.substr(10) : "");
  std::vector<std::string> found;
  std::error_code error;
  for (const fs::path& camera : paths_in(sys, error)) {
    // Of the several files of one camera the first gives pictures.
    if (const std::string index = first_line(camera / "index"); !index.empty() && index != "0") continue;
    const fs::path usb = camera / "device" / "..";
    const auto same = [](std::string_view a, std::string_view b) {
      return std::ranges::equal(
          a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
    };
    if (same(first_line(usb / "idVendor"), vendor) && same(first_line(usb / "idProduct"), product) &&
        (serial.empty() || first_line(usb / "serial") == serial))
      found.push_back("/dev/" + camera.filename().string());
  }
  if (found.empty()) return fail(ErrorCode::not_found, "there is no USB camera {}", id);
  if (found.size() > 1)
    return fail(ErrorCode::invalid_argument, "there are {} USB cameras {}: add the serial number",
                found.size(), id);
  return found[0];
}

std::string known_cameras(const std::string& by_id) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::path& path : paths_in(by_id, error)) names.push_back(path.string());
  std::ranges::sort(names);
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

Result<std::string> camera_pipeline(const CameraParams& params, const CameraDevice& device,
                                    const std::string& path) {
  std::string text;
  const bool is_v4l2 = device.kind == CameraKind::path || device.kind == CameraKind::usb;
  auto controls = control_text(params, !is_v4l2);
  if (!controls) return controls;
  if (device.kind == CameraKind::launch) {
    if (!controls->empty())
      return fail(ErrorCode::invalid_argument, "controls: write them into the text of the gst: device");
    text = device.id;
  } else if (is_v4l2) {
    text = std::format("v4l2src device={}{}", gst_quoted(path), *controls);
  } else {
    text = std::format("libcamerasrc camera-name={}{}", gst_quoted(device.id), *controls);
  }
  std::string caps, behind;
  if (const auto known = std::ranges::find(encoded, params.format, &Format::name);
      known != std::end(encoded)) {
    caps = known->caps, behind = known->behind;
  } else if (params.format == "raw" || std::ranges::contains(raw_formats, params.format)) {
    caps = "video/x-raw";
    if (params.format != "raw") caps += ",format=" + params.format;
    behind = to_i420;
  } else {
    std::string names = "raw";
    for (const Format& each : encoded) names += ", " + std::string(each.name);
    for (const std::string_view each : raw_formats) names += ", " + std::string(each);
    return fail(ErrorCode::invalid_argument, "format: '{}' is unknown; one of: {}",
                params.format.substr(0, 40), names);
  }
  if (!params.size.empty()) {
    const auto size = size_of(params.size);
    if (!size)
      return fail(ErrorCode::invalid_argument, "size: '{}' is no WIDTHxHEIGHT, as 1280x720",
                  params.size.substr(0, 40));
    caps += std::format(",width={},height={}", size->first, size->second);
  }
  if (params.rate.num > 0) caps += std::format(",framerate={}/{}", params.rate.num, params.rate.den);
  return text + " ! capsfilter caps=" + caps + behind;
}

}  // namespace sightglass::adapters
