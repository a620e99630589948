#include "sightglass/model/onnx/onnx_engine.h"

#include <unistd.h>

#include <algorithm>

#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/model/onnx/onnx_cuda.h"
#include "sightglass/model/onnx/onnx_library.h"
#include "sightglass/model/onnx/onnx_model.h"

namespace sightglass {
namespace {

namespace fs = std::filesystem;

// ONNX Runtime itself takes config entries of these families as they are.
constexpr std::string_view entry_families[] = {"session.", "optimization.", "ep.", "mlas."};

Status apply_config(Ort::SessionOptions& options, std::string_view config, LoadedThreads& threads,
                    OnnxCuda* cuda) {
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
    } else if (key.starts_with("cuda.") && key.size() > 5) {
      if (cuda) cuda->provider.emplace_back(key.substr(5), value);
    } else if (std::ranges::any_of(entry_families,
                                   [&](std::string_view family) { return key.starts_with(family); })) {
      options.AddConfigEntry(key.c_str(), value.c_str());
    } else {
      return fail(
          ErrorCode::invalid_argument,
          "config: unknown key '{}'; known are intra_op_num_threads, inter_op_num_threads, allow_spinning, "
          "graph_optimization_level, execution_mode, and ONNX Runtime's own session.*, optimization.*, ep.*, "
          "mlas.*, and cuda.* for options of its CUDA provider",
          key);
    }
  }
  return {};
}

// An NVIDIA device that models can run on, or why there is none.
Result<OnnxCuda> find_cuda(const OnnxLibrary& library, int index) {
  if (access("/dev/nvidiactl", R_OK | W_OK) != 0)
    return fail(ErrorCode::unavailable, "no NVIDIA device (/dev/nvidiactl)");
  // Before anything is put on the device: a context of it costs hundreds of megabytes.
  if (!std::ranges::contains(Ort::GetAvailableProviders(), "CUDAExecutionProvider"))
    return fail(ErrorCode::unavailable, "ONNX Runtime {} ({}) has no CUDA provider", library.info.version,
                library.info.library);
  // Loading the provider costs a second and leaves hundreds of megabytes behind, so it is not tried without
  // a device.
  auto context = cuda_context(index);
  if (!context) return forward_error(context);
  OnnxCuda cuda{.context = *std::move(context), .index = index, .provider = {}};
  Ort::SessionOptions options;
  if (Status added = add_cuda_provider(options, cuda, nullptr, false); !added)
    return fail(ErrorCode::unavailable, "ONNX Runtime {} ({}) cannot use {}: {}", library.info.version,
                library.info.library, cuda.context->description(), added.error().message);
  return cuda;
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
    const auto chosen = choose_device(**library, text);
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
    std::optional<OnnxCuda> cuda;
    std::vector<std::string> notes;
  };

  Result<std::unique_ptr<LoadedModel>> load_with(const OnnxLibrary& library, const fs::path& path,
                                                 const LoadOptions& wanted) {
    Ort::SessionOptions options;
    options.SetGraphOptimizationLevel(ORT_ENABLE_ALL);
    auto device = choose_device(library, wanted.device);
    if (!device) return std::unexpected(device.error());

    const bool latency = wanted.policy == SchedulingPolicy::latency;
    LoadedThreads threads{.per_request = latency ? usable_cores() : 1, .spin = latency};
    if (Status applied =
            apply_config(options, wanted.config, threads, device->cuda ? &*device->cuda : nullptr);
        !applied)
      return std::unexpected(applied.error());
    options.SetIntraOpNumThreads(int(threads.per_request));
    for (const char* pool : {"session.intra_op.allow_spinning", "session.inter_op.allow_spinning"})
      if (!options.HasConfigEntry(pool)) options.AddConfigEntry(pool, threads.spin ? "1" : "0");
    // On a GPU runs queue up behind each other anyway; a second request hides the copies.
    threads.requests = device->cuda ? 2 : latency ? 1 : std::max(1u, usable_cores() / threads.per_request);
    return load_onnx_model(library, path, wanted, options, threads, std::move(device->cuda),
                           std::move(device->notes));
  }

  static Result<Chosen> choose_device(const OnnxLibrary& library, std::string_view text) {
    const auto device = parse_device(text);
    if (!device) return std::unexpected(device.error());
    if (device->kind == DeviceName::Kind::cpu) {
      if (device->index == 0) return Chosen{};
      return fail(ErrorCode::unavailable, "device={} is not usable: there is one CPU device; usable: CPU",
                  text);
    }
    auto cuda = find_cuda(library, device->index);
    const bool is_automatic = device->kind == DeviceName::Kind::automatic;
    if (cuda) {
      Chosen chosen;
      if (is_automatic)
        chosen.notes.push_back(
            std::format("device=AUTO uses CUDA:{}: {}", cuda->index, cuda->context->description()));
      chosen.cuda = *std::move(cuda);
      return chosen;
    }
    if (is_automatic)
      return Chosen{.cuda = {}, .notes = {"device=AUTO uses the CPU: " + cuda.error().message}};
    const int others = cuda_devices();
    return fail(ErrorCode::unavailable, "device={} is not usable: {}; usable: CPU{}", text,
                cuda.error().message,
                others > device->index || others == 0 ? ""
                : others == 1                         ? ", CUDA:0"
                                                      : std::format(", CUDA:0 to CUDA:{}", others - 1));
  }
};

}  // namespace

Engine& onnx_engine() {
  static OnnxEngine engine;
  return engine;
}

}  // namespace sightglass
