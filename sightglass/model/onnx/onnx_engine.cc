#include "sightglass/model/onnx/onnx_engine.h"

#include <algorithm>

#include "sightglass/model/load_progress.h"
#include "sightglass/model/onnx/onnx_device.h"
#include "sightglass/model/onnx/onnx_library.h"
#include "sightglass/model/onnx/onnx_model.h"
#include "sightglass/model/onnx/onnx_tensorrt.h"

namespace sightglass {
namespace {

namespace fs = std::filesystem;

// ONNX Runtime itself takes config entries of these families as they are.
constexpr std::string_view entry_families[] = {"session.", "optimization.", "ep.", "mlas."};

// What the user says to the providers of devices.
struct ProviderOptions {
  ProviderSettings cuda, tensorrt;
};

// Options of providers that have to agree with where the tensors lie.
bool is_ours(std::string_view key) {
  if (!key.starts_with("cuda.") && !key.starts_with("trt.")) return false;
  return key.ends_with(".device_id") || key.ends_with("user_compute_stream");
}

Status apply_config(Ort::SessionOptions& options, std::string_view config, LoadedThreads& threads,
                    ProviderOptions& providers) {
  const auto entries = parse_config(config);
  if (!entries) return std::unexpected(entries.error());
  for (const auto& [key, value] : *entries) {
    const auto wrong = [&](std::string_view wanted) {
      return fail(ErrorCode::invalid_argument, "config: {}={}: {} is wanted", key, value, wanted);
    };
    const bool number =
        !value.empty() && value.size() < 6 && value.find_first_not_of("0123456789") == value.npos;
    if (key == "intra_op_num_threads" || key == "inter_op_num_threads") {
      if (!number) return wrong("a number of threads, 0 for all cores");
      const unsigned count = unsigned(std::stoul(value));
      if (key.starts_with("inter"))
        options.SetInterOpNumThreads(int(count));
      else
        threads.per_request = count == 0 ? usable_cores() : count;
    } else if (key == "allow_spinning") {
      if (value != "0" && value != "1" && value != "false" && value != "true") return wrong("0 or 1");
      threads.spin = value == "1" || value == "true";
    } else if (key == "graph_optimization_level") {
      if (value == "disabled" || value == "0")
        options.SetGraphOptimizationLevel(ORT_DISABLE_ALL);
      else if (value == "basic" || value == "1")
        options.SetGraphOptimizationLevel(ORT_ENABLE_BASIC);
      else if (value == "extended" || value == "2")
        options.SetGraphOptimizationLevel(ORT_ENABLE_EXTENDED);
      else if (value == "all" || value == "99")
        options.SetGraphOptimizationLevel(ORT_ENABLE_ALL);
      else
        return wrong("disabled, basic, extended or all");
    } else if (key == "execution_mode") {
      if (value != "sequential" && value != "parallel") return wrong("sequential or parallel");
      options.SetExecutionMode(value == "parallel" ? ORT_PARALLEL : ORT_SEQUENTIAL);
    } else if (is_ours(key)) {
      return fail(ErrorCode::invalid_argument,
                  "config: {} cannot be set: the device is what device= says (device=CUDA:1)", key);
    } else if (key.starts_with("cuda.") && key.size() > 5) {
      providers.cuda.emplace_back(key.substr(5), value);
    } else if (key.starts_with("trt.") && key.size() > 4) {
      providers.tensorrt.push_back(tensorrt_option(key.substr(4), value));
    } else if (std::ranges::any_of(entry_families,
                                   [&](std::string_view family) { return key.starts_with(family); })) {
      options.AddConfigEntry(key.c_str(), value.c_str());
    } else {
      return fail(
          ErrorCode::invalid_argument,
          "config: unknown key '{}'; known are intra_op_num_threads, inter_op_num_threads, allow_spinning, "
          "graph_optimization_level, execution_mode, and ONNX Runtime's own session.*, optimization.*, ep.*, "
          "mlas.*, and cuda.* and trt.* for options of its CUDA and its TensorRT provider",
          key);
    }
  }
  return {};
}

// Of a model on the CPU options of the CUDA provider have no meaning, so that a pipeline runs on both; who
// names TensorRT insists on it.
Status apply_providers(const OnnxLibrary& library, const fs::path& path, const LoadOptions& wanted,
                       ProviderOptions providers, OnnxDevice& device) {
  if (std::ranges::contains(providers.tensorrt, std::pair<std::string, std::string>("trt_enable", "0")))
    providers.tensorrt.clear();
  if (!device.cuda) {
    if (providers.tensorrt.empty()) return {};
    if (!device.is_automatic)
      return fail(ErrorCode::unavailable,
                  "config: trt.* needs an NVIDIA device, and device={} is none; set device=CUDA:0 or AUTO",
                  wanted.device);
    device.notes.emplace_back("config: trt.* is not used: the model runs on the CPU");
    return {};
  }
  device.cuda->provider = std::move(providers.cuda);
  if (providers.tensorrt.empty()) return {};
  if (Status usable = check_tensorrt(library, providers.tensorrt, device.cuda->index); !usable) return usable;
  const std::string platform = tensorrt_platform(library, device.cuda->context);
  const fs::path folder = keep_tensorrt_engines(providers.tensorrt, path, wanted, platform);
  if (folder.empty() || !has_tensorrt_engine(folder))
    tell_load_progress(std::format(
        "building a TensorRT engine of {} for {}, which may take minutes{}", path.filename().string(),
        platform, folder.empty() ? "" : "; the next start takes it from " + folder.string()));
  device.cuda->tensorrt = std::move(providers.tensorrt);
  return {};
}

class OnnxEngine final : public Engine {
 public:
  std::string_view name() const override { return "onnxruntime"; }

  bool reads(const fs::path& model) const override {
    return model.extension() == ".onnx" || model.extension() == ".ort";
  }

  Result<EngineInfo> info() override {
    const auto library = onnx_library();
    if (!library) return std::unexpected(library.error());
    return (*library)->info;
  }

  Status check_device(std::string_view text) override {
    const auto library = onnx_library();
    if (!library) return std::unexpected(library.error());
    if (const auto device = parse_device(text); device && device->all) {
      const auto all = each_device(onnx_machine(**library), text);
      return all ? Status{} : Status(std::unexpected(all.error()));
    }
    const auto chosen = choose_device(onnx_machine(**library), text);
    if (!chosen) return std::unexpected(chosen.error());
    return {};
  }

  Result<std::vector<std::string>> devices(std::string_view pattern) override {
    const auto library = onnx_library();
    if (!library) return std::unexpected(library.error());
    return each_device(onnx_machine(**library), pattern);
  }

  Result<std::unique_ptr<LoadedModel>> load(const fs::path& path, const LoadOptions& wanted) override {
    if (Status readable = check_model_file(path); !readable) return std::unexpected(readable.error());
    const auto library = onnx_library();
    if (!library) return std::unexpected(library.error());

    auto chosen = choose_device(onnx_machine(**library), wanted.device);
    if (!chosen) return std::unexpected(chosen.error());
    try {
      return load_on(*std::move(chosen), [&](OnnxDevice device) {
        return load_with(**library, path, wanted, std::move(device));
      });
    } catch (const Ort::Exception& error) {
      return fail(ErrorCode::invalid_argument, "{}: ONNX Runtime does not take the options: {}",
                  path.string(), one_line(error.what()));
    }
  }

 private:
  static Result<std::unique_ptr<LoadedModel>> load_with(const OnnxLibrary& library, const fs::path& path,
                                                        const LoadOptions& wanted, OnnxDevice device) {
    Ort::SessionOptions options;
    options.SetGraphOptimizationLevel(ORT_ENABLE_ALL);
    const bool latency = wanted.policy == SchedulingPolicy::latency;
    LoadedThreads threads{.per_request = latency ? usable_cores() : 1, .spin = latency};
    ProviderOptions providers;
    if (Status applied = apply_config(options, wanted.config, threads, providers); !applied)
      return std::unexpected(applied.error());
    if (Status applied = apply_providers(library, path, wanted, std::move(providers), device); !applied)
      return std::unexpected(applied.error());
    options.SetIntraOpNumThreads(int(threads.per_request));
    for (const char* pool : {"session.intra_op.allow_spinning", "session.inter_op.allow_spinning"})
      if (!options.HasConfigEntry(pool)) options.AddConfigEntry(pool, threads.spin ? "1" : "0");
    // On a GPU runs queue up behind each other anyway; a second request hides the copies.
    threads.requests = device.cuda ? 2 : latency ? 1 : std::max(1u, usable_cores() / threads.per_request);
    return load_onnx_model(library, path, wanted, options, threads, std::move(device.cuda),
                           std::move(device.notes));
  }
};

}  // namespace

Engine& onnx_engine() {
  static OnnxEngine engine;
  return engine;
}

}  // namespace sightglass
