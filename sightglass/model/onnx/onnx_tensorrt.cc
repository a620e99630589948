#include "sightglass/model/onnx/onnx_tensorrt.h"

#include <dlfcn.h>

#include <algorithm>
#include <fstream>

#include "sightglass/core/folder.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/model/compiled_cache.h"
#include "sightglass/model/onnx/onnx_engine.h"

namespace sightglass {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view enable_option = "trt_enable";  // ours; the provider does not know it

bool is_set(const ProviderSettings& settings, std::string_view name) {
  return std::ranges::contains(settings, name, &ProviderSettings::value_type::first);
}

// "580.65.06"; empty where the system does not say it.
std::string driver_version() {
  std::string version;
  std::ifstream("/sys/module/nvidia/version") >> version;
  return version;
}

// Of the library that the provider has loaded; empty: none of those known.
std::string tensorrt_version() {
  for (int major = 12; major >= 8; --major) {
    void* const library = dlopen(std::format("libnvinfer.so.{}", major).c_str(), RTLD_LAZY | RTLD_NOLOAD);
    if (!library) continue;
    const auto version = reinterpret_cast<int (*)()>(dlsym(library, "getInferLibVersion"));
    const int number = version ? version() : 0;
    dlclose(library);
    // 8601 was 8.6.1; from 10 on there is a digit more for each: 100900 is 10.9.0.
    const int unit = number >= 100'000 ? 10'000 : 1'000;
    if (number > 0) return std::format("{}.{}.{}", number / unit, number % unit / 100, number % 100);
  }
  return {};
}

// As of the engines that are fetched, see onnxruntime_path().
fs::path user_cache() { return onnxruntime_path().parent_path().parent_path(); }

}  // namespace

std::pair<std::string, std::string> tensorrt_option(std::string_view key, std::string_view value) {
  const bool is_whole = key.starts_with("trt_") || key == "user_compute_stream" || key == "device_id";
  return {(is_whole ? "" : "trt_") + std::string(key), std::string(value)};
}

Status check_tensorrt(const OnnxLibrary& library, const ProviderSettings& settings, int device) {
  Ort::SessionOptions options;
  const Status added = add_tensorrt_provider(options, settings, device, nullptr, false);
  if (added) return {};
  return fail(
      added.error().code,
      "config: trt.*: ONNX Runtime {} ({}) cannot use TensorRT: {}; without trt.* the model runs by its "
      "CUDA provider",
      library.info.version, library.info.library, added.error().message);
}

std::string tensorrt_platform(const OnnxLibrary& library, const ContextRef& context) {
  std::string text = cuda_identity(context);
  if (const std::string driver = driver_version(); !driver.empty()) text += ", driver " + driver;
  if (const std::string version = tensorrt_version(); !version.empty()) text += ", TensorRT " + version;
  return text + ", ONNX Runtime " + library.info.version;
}

fs::path keep_tensorrt_engines(ProviderSettings& settings, const fs::path& model, const LoadOptions& wanted,
                               std::string_view platform) {
  const auto named =
      std::ranges::find(settings, "trt_engine_cache_path", &ProviderSettings::value_type::first);
  const auto off =
      std::ranges::find(settings, "trt_engine_cache_enable", &ProviderSettings::value_type::first);
  if (off != settings.end() && (off->second == "0" || off->second == "False")) return {};
  if (named != settings.end()) return named->second;
  // The number of a device says nothing: it is in `platform` what it is.
  LoadOptions any_device = wanted;
  any_device.device.clear();
  auto folder = compiled_place(model, any_device, "tensorrt", platform);
  if (!folder) {
    const CompiledFolder of_user(user_cache() / "tensorrt");
    folder = compiled_place(model, any_device, "tensorrt", platform);
  }
  std::error_code error;
  if (!folder || (fs::create_directories(*folder, error), error)) return {};
  for (const char* what : {"engine", "timing"}) {
    const std::string enable = std::format("trt_{}_cache_enable", what),
                      path = std::format("trt_{}_cache_path", what);
    if (!is_set(settings, enable)) settings.emplace_back(enable, "1");
    if (!is_set(settings, path)) settings.emplace_back(path, folder->string());
  }
  return *folder;
}

bool has_tensorrt_engine(const fs::path& folder) {
  std::error_code error;
  return std::ranges::any_of(paths_in(folder, error),
                             [](const fs::path& path) { return path.extension() == ".engine"; });
}

Status add_tensorrt_provider(Ort::SessionOptions& options, const ProviderSettings& settings, int device,
                             CUstream_st* stream, bool has_graphs) {
  ProviderSettings all = {{"device_id", std::to_string(device)},
                          {"trt_cuda_graph_enable", has_graphs ? "1" : "0"}};
  for (const auto& [name, value] : settings) {
    if (name == enable_option || (name == "trt_cuda_graph_enable" && !has_graphs)) continue;
    std::erase_if(all, [&](const auto& setting) { return setting.first == name; });
    all.emplace_back(name, value);
  }
  std::vector<const char*> names, values;
  for (const auto& [name, value] : all) names.push_back(name.c_str()), values.push_back(value.c_str());
  const OrtApi& api = Ort::GetApi();
  OrtTensorRTProviderOptionsV2* provider = nullptr;
  Status status;
  try {
    Ort::ThrowOnError(api.CreateTensorRTProviderOptions(&provider));
    Ort::ThrowOnError(api.UpdateTensorRTProviderOptions(provider, names.data(), values.data(), names.size()));
    if (stream)
      Ort::ThrowOnError(api.UpdateTensorRTProviderOptionsWithValue(provider, "user_compute_stream", stream));
    options.AppendExecutionProvider_TensorRT_V2(*provider);
  } catch (const Ort::Exception& error) {
    status = fail(ErrorCode::unavailable, "{}", one_line(error.what()));
  }
  if (provider) api.ReleaseTensorRTProviderOptions(provider);
  return status;
}

}  // namespace sightglass
