#include "sightglass/model/onnx/onnx_engine.h"

#include <unistd.h>

#include <algorithm>

#include "sightglass/model/onnx/onnx_library.h"
#include "sightglass/model/onnx/onnx_model.h"

namespace sightglass {
namespace {

namespace fs = std::filesystem;

// ONNX Runtime itself takes config entries of these families as they are.
constexpr std::string_view entry_families[] = {"session.", "optimization.", "ep.", "mlas."};

Status apply_config(Ort::SessionOptions& options, std::string_view config, LoadedThreads& threads) {
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
    } else if (std::ranges::any_of(entry_families,
                                   [&](std::string_view family) { return key.starts_with(family); })) {
      options.AddConfigEntry(key.c_str(), value.c_str());
    } else {
      return fail(
          ErrorCode::invalid_argument,
          "config: unknown key '{}'; known are intra_op_num_threads, inter_op_num_threads, allow_spinning, "
          "graph_optimization_level, execution_mode, and ONNX Runtime's own session.*, optimization.*, ep.*, "
          "mlas.*",
          key);
    }
  }
  return {};
}

// Makes the options run on an NVIDIA device, or says why that is not possible.
Status add_cuda(Ort::SessionOptions& options, int index) {
  std::string reason;
  OrtCUDAProviderOptionsV2* cuda = nullptr;
  const OrtApi& api = Ort::GetApi();
  try {
    Ort::ThrowOnError(api.CreateCUDAProviderOptions(&cuda));
    const std::string id = std::to_string(index);
    const char* key = "device_id";
    const char* value = id.c_str();
    Ort::ThrowOnError(api.UpdateCUDAProviderOptions(cuda, &key, &value, 1));
    options.AppendExecutionProvider_CUDA_V2(*cuda);
  } catch (const Ort::Exception& error) {
    reason = one_line(error.what());
  }
  if (cuda) api.ReleaseCUDAProviderOptions(cuda);
  if (reason.empty()) return {};
  return fail(ErrorCode::unavailable, "{}", reason);
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
    Ort::SessionOptions options;
    const auto chosen = choose_device(**library, text, options);
    if (!chosen) return std::unexpected(chosen.error());
    return {};
  }

  Result<std::unique_ptr<LoadedModel>> load(const fs::path& path, const LoadOptions& wanted) override {
    if (Status readable = check_model_file(path); !readable) return std::unexpected(readable.error());
    const auto library = onnx_library();
    if (!library) return std::unexpected(library.error());

    try {
      return load_with(**library, path, wanted);
    } catch (const Ort::Exception& error) {
      return fail(ErrorCode::invalid_argument, "{}: ONNX Runtime does not take the options: {}",
                  path.string(), one_line(error.what()));
    }
  }

 private:
  struct Chosen {
    bool gpu = false;
    std::vector<std::string> notes;
  };

  Result<std::unique_ptr<LoadedModel>> load_with(const OnnxLibrary& library, const fs::path& path,
                                                 const LoadOptions& wanted) {
    Ort::SessionOptions options;
    options.SetGraphOptimizationLevel(ORT_ENABLE_ALL);
    const auto device = choose_device(library, wanted.device, options);
    if (!device) return std::unexpected(device.error());

    const bool latency = wanted.policy == SchedulingPolicy::latency;
    LoadedThreads threads{.per_request = latency ? usable_cores() : 1, .spin = latency};
    if (Status applied = apply_config(options, wanted.config, threads); !applied)
      return std::unexpected(applied.error());
    options.SetIntraOpNumThreads(int(threads.per_request));
    for (const char* pool : {"session.intra_op.allow_spinning", "session.inter_op.allow_spinning"})
      if (!options.HasConfigEntry(pool)) options.AddConfigEntry(pool, threads.spin ? "1" : "0");
    // On a GPU requests queue up behind each other anyway; a second one hides the copies.
    threads.requests = device->gpu ? 2 : latency ? 1 : std::max(1u, usable_cores() / threads.per_request);
    return load_onnx_model(library, path, wanted, options, threads, device->notes);
  }

  Result<Chosen> choose_device(const OnnxLibrary& library, std::string_view text,
                               Ort::SessionOptions& options) {
    const auto device = parse_device(text);
    if (!device) return std::unexpected(device.error());
    if (device->kind == DeviceName::Kind::cpu) {
      if (device->index == 0) return Chosen{};
      return fail(ErrorCode::unavailable, "device={} is not usable: there is one CPU device; usable: CPU",
                  text);
    }
    std::string missing;
    if (access("/dev/nvidiactl", R_OK | W_OK) != 0) missing = "no NVIDIA device (/dev/nvidiactl)";
    // Loading the provider costs a second and leaves hundreds of megabytes behind, so it is not tried without
    // a device.
    if (missing.empty()) {
      const Status added = add_cuda(options, device->index);
      if (added) return Chosen{.gpu = true, .notes = {}};
      missing = "ONNX Runtime " + library.info.version + " (" + library.info.library +
                ") cannot use it: " + added.error().message;
    }
    if (device->kind == DeviceName::Kind::automatic)
      return Chosen{.gpu = false, .notes = {"device=AUTO uses the CPU: " + missing}};
    return fail(ErrorCode::unavailable, "device={} is not usable: {}; usable: CPU", text, missing);
  }
};

}  // namespace

Engine& onnx_engine() {
  static OnnxEngine engine;
  return engine;
}

}  // namespace sightglass
