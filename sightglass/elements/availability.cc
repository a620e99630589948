#include "sightglass/elements/availability.h"

#include <dlfcn.h>

#include <filesystem>

#include "sightglass/core/folder.h"

namespace sightglass {
namespace {

namespace fs = std::filesystem;

bool loads(const char* library) {
  void* handle = dlopen(library, RTLD_LAZY | RTLD_LOCAL);
  if (handle) dlclose(handle);
  return handle != nullptr;
}

bool has_file(const fs::path& folder, std::string_view start, std::string_view end = {}) {
  std::error_code ignored;
  for (const auto& path : paths_in(folder, ignored)) {
    const std::string name = path.filename().string();
    if (name.starts_with(start) && name.ends_with(end)) return true;
  }
  return false;
}

std::string list(std::span<const std::string> items) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : ", ") + item;
  return text;
}

}  // namespace

std::string_view to_string(Facility facility) {
  switch (facility) {
    case Facility::va_display:
      return "VA";
    case Facility::opencl:
      return "OpenCL";
    case Facility::cuda:
      return "CUDA";
    case Facility::openvino:
      return "OpenVINO";
  }
  return "?";
}

std::string missing(Facility facility) {
  switch (facility) {
    case Facility::va_display:
      if (!has_file("/dev/dri", "renderD")) return "no VA display (no render node)";
      return loads("libva.so.2") ? "" : "no VA library (libva.so.2)";
    case Facility::opencl:
      if (!loads("libOpenCL.so.1")) return "no OpenCL runtime (no libOpenCL.so.1)";
      return has_file("/etc/OpenCL/vendors", "", ".icd")
                 ? ""
                 : "no OpenCL runtime (no driver in /etc/OpenCL/vendors)";
    case Facility::cuda: {
      std::error_code ignored;
      if (!fs::exists("/dev/nvidiactl", ignored) && !fs::exists("/dev/nvidia0", ignored))
        return "no CUDA device (no /dev/nvidia0)";
      return loads("libcuda.so.1") ? "" : "no CUDA driver (libcuda.so.1)";
    }
    case Facility::openvino:
      return loads("libopenvino.so") || loads("libopenvino_c.so") ? "" : "no OpenVINO runtime (libopenvino)";
  }
  return {};
}

std::vector<std::string> missing(std::initializer_list<Facility> facilities) {
  std::vector<std::string> pieces;
  for (const Facility facility : facilities)
    if (std::string piece = missing(facility); !piece.empty()) pieces.push_back(std::move(piece));
  return pieces;
}

Error availability_error(std::string_view asked, std::span<const std::string> missing_pieces,
                         std::span<const std::string> usable) {
  std::string text = std::format("{} is not usable", asked);
  if (!missing_pieces.empty()) text += ": " + list(missing_pieces);
  if (!usable.empty()) text += "; usable: " + list(usable);
  return {ErrorCode::unavailable, std::move(text), {}, {}};
}

Error availability_error(std::string_view asked, std::initializer_list<std::string> missing_pieces,
                         std::initializer_list<std::string> usable) {
  return availability_error(asked, std::span(missing_pieces.begin(), missing_pieces.size()),
                            std::span(usable.begin(), usable.size()));
}

Error not_built_error(std::string_view element, std::initializer_list<Facility> needs,
                      std::initializer_list<std::string> usable) {
  auto pieces = missing(needs);
  pieces.emplace_back("its code is not part of this version");
  return availability_error(element, pieces, std::span(usable.begin(), usable.size()));
}

}  // namespace sightglass
