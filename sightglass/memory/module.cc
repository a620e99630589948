#include "sightglass/memory/module.h"

#include <dlfcn.h>

#include <array>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>

namespace sightglass {
namespace {

struct Module {
  std::string_view name;
  std::string_view needs;  // the library behind it, for people
  std::once_flag once;
  Status loaded;
};

std::array<Module, 20>& modules() {
  static auto& instance = *new std::array<Module, 20>{{{"adapters-display", "GStreamer"},
                                                       {"adapters-gst", "GStreamer"},
                                                       {"adapters-http", "libcurl"},
                                                       {"adapters-kafka", "librdkafka"},
                                                       {"adapters-mongodb", "libmongoc"},
                                                       {"adapters-mqtt", "libmosquitto"},
                                                       {"adapters-preview", "gst-rtsp-server"},
                                                       {"adapters-redis", "hiredis"},
                                                       {"adapters-sqlite", "SQLite"},
                                                       {"ffmpeg", "FFmpeg"},
                                                       {"ffmpeg-media", "FFmpeg"},
                                                       {"gst", "GStreamer"},
                                                       {"opencl", "an OpenCL loader"},
                                                       {"opencl-elements", "an OpenCL loader"},
                                                       {"opencv", "OpenCV"},
                                                       {"opencv-elements", "OpenCV"},
                                                       {"python-decoders", "Python"},
                                                       {"telemetry", "libcurl"},
                                                       {"torch", "libtorch"},
                                                       {"zxing", "ZXing"}}};
  return instance;
}

std::string file_name(std::string_view module) {
  return std::format("libsightglass-{}.so.{}", module, SIGHTGLASS_ABI_VERSION);
}

Status open(const Module& module) {
  const auto beside = library_folder() / file_name(module.name);
  std::error_code ignored;
  const bool is_beside = std::filesystem::exists(beside, ignored);
  // Global: the typed accessors of a module and what it throws are those of the program that links it as
  // well.
  if (dlopen(is_beside ? beside.c_str() : file_name(module.name).c_str(), RTLD_NOW | RTLD_GLOBAL)) return {};
  const char* reason = dlerror();
  return fail(ErrorCode::unavailable, "the module {} cannot be loaded; it needs {}: {}", module.name,
              module.needs, reason ? reason : "no reason is given");
}

Module* find(std::string_view name) {
  for (Module& module : modules())
    if (module.name == name) return &module;
  return nullptr;
}

}  // namespace

std::filesystem::path library_folder() {
  Dl_info info;
  if (!dladdr(reinterpret_cast<const void*>(&library_folder), &info) || !info.dli_fname) return {};
  std::error_code ignored;
  return std::filesystem::canonical(info.dli_fname, ignored).parent_path();
}

Status load_module(std::string_view name) {
  Module* module = find(name);
  if (!module) return fail(ErrorCode::not_found, "there is no module {}", name);
  std::call_once(module->once, [&] { module->loaded = open(*module); });
  return module->loaded;
}

Status load_modules_for(MemoryKind kind) {
  switch (kind) {
    case MemoryKind::ffmpeg:
      return load_module("ffmpeg");
    case MemoryKind::gst:
    case MemoryKind::va:
      return load_module("gst");
    case MemoryKind::opencl:
    case MemoryKind::opencl_image:
      return load_module("opencl");
    case MemoryKind::opencv_umat:
      (void)load_module("opencl");  // where it is there, a UMat is one of its buffers instead of a copy
      return load_module("opencv");
    case MemoryKind::opencv:
      return load_module("opencv");
    case MemoryKind::torch:
      return load_module("torch");
    case MemoryKind::system:
    case MemoryKind::dmabuf:
    case MemoryKind::cuda:
    case MemoryKind::shm:
    case MemoryKind::onnx:
    case MemoryKind::dlpack:
      return {};
  }
  return {};
}

bool module_is_installed(std::string_view name) {
  std::error_code ignored;
  return find(name) && std::filesystem::exists(library_folder() / file_name(name), ignored);
}

std::vector<std::string_view> known_modules() {
  std::vector<std::string_view> names;
  for (const Module& module : modules()) names.push_back(module.name);
  return names;
}

}  // namespace sightglass
