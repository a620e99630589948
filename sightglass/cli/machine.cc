#include "sightglass/cli/machine.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <format>
#include <fstream>
#include <string_view>

#include "sightglass/core/folder.h"
#include "sightglass/model/engine.h"
#include "sightglass/model/spelling.h"

namespace sightglass::cli {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> names_in(const fs::path& folder, std::string_view start, std::string_view end = {}) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& path : paths_in(folder, ignored)) {
    const std::string name = path.filename().string();
    if (name.starts_with(start) && name.ends_with(end)) names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

bool loads(const char* library) {
  void* handle = dlopen(library, RTLD_LAZY | RTLD_LOCAL);
  if (handle) dlclose(handle);
  return handle;
}

Finding processor() {
  std::ifstream file("/proc/cpuinfo");
  std::string line, model, flags;
  while (std::getline(file, line)) {
    const auto colon = line.find(": ");
    if (colon == line.npos) continue;
    if (line.starts_with("model name")) model = line.substr(colon + 2);
    if (line.starts_with("flags") || line.starts_with("Features")) flags = " " + line.substr(colon + 2) + " ";
  }
  std::vector<std::string> found;
  for (const char* flag :
       {"sse4_2", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "sve"})
    if (flags.contains(std::format(" {} ", flag))) found.emplace_back(flag);
  return {Health::ok, "CPU",
          std::format("{}, {} cores usable, {}", model.empty() ? "unknown model" : model, usable_cores(),
                      joined(found))};
}

Finding cuda() {
  const auto cards = names_in("/dev", "nvidia");
  if (std::ranges::none_of(
          cards, [](const auto& name) { return name.size() == 7 && name[6] >= '0' && name[6] <= '9'; }))
    return {Health::missing, "CUDA", "no NVIDIA device (/dev/nvidia0)"};
  if (!loads("libcuda.so.1"))
    return {Health::missing, "CUDA", "there is a device, but no driver library (libcuda.so.1)"};
  return {Health::ok, "CUDA", "device and driver found"};
}

Finding va() {
  const auto nodes = names_in("/dev/dri", "renderD");
  if (nodes.empty()) return {Health::missing, "VA", "no render node (/dev/dri/renderD128)"};
  return {Health::ok, "VA", joined(nodes)};
}

Finding opencl() {
  const auto vendors = names_in("/etc/OpenCL/vendors", "", ".icd");
  if (vendors.empty()) return {Health::missing, "OpenCL", "no runtime (/etc/OpenCL/vendors is empty)"};
  return {Health::ok, "OpenCL", joined(vendors)};
}

Finding display() {
  for (const char* name : {"WAYLAND_DISPLAY", "DISPLAY"}) {
    const char* value = std::getenv(name);
    if (value && *value) return {Health::ok, "display", std::format("{}={}", name, value)};
  }
  return {Health::missing, "display",
          "none (neither DISPLAY nor WAYLAND_DISPLAY is set); `--output DIR` works without"};
}

Finding cameras() {
  const auto found = names_in("/dev", "video");
  if (found.empty()) return {Health::missing, "cameras", "none (/dev/video0)"};
  return {Health::ok, "cameras", joined(found)};
}

}  // namespace

std::vector<Finding> devices() { return {processor(), cuda(), va(), opencl(), display(), cameras()}; }

std::vector<Finding> fonts() {
  const fs::path file = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf";
  std::error_code ignored;
  if (fs::exists(file, ignored)) return {{Health::ok, "font", file.string()}};
  return {
      {Health::missing, "font", "DejaVu Sans is missing, labels cannot be drawn; install fonts-dejavu-core"}};
}

uint64_t folder_size(const std::string& folder) {
  uint64_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator item(folder, fs::directory_options::skip_permission_denied, error),
       end;
       !error && item != end; item.increment(error)) {
    std::error_code ignored;
    if (item->is_regular_file(ignored) && !item->is_symlink(ignored)) bytes += item->file_size(ignored);
  }
  return bytes;
}

}  // namespace sightglass::cli
