#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <torch/cuda.h>
#include <torch/script.h>
#include <torch/serialize.h>
#include <torch/version.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "sightglass/model/module_engine.h"
#include "sightglass/model/torch/torch_model.h"

namespace sightglass {
namespace {

namespace fs = std::filesystem;

struct Config {
  unsigned threads = 0;  // 0: by policy
  std::string weights;
};

Result<Config> parse(std::string_view text) {
  const auto entries = parse_config(text);
  if (!entries) return std::unexpected(entries.error());
  Config config;
  for (const auto& [key, value] : *entries) {
    if (key == "intra_op_num_threads") {
      const bool number =
          !value.empty() && value.size() < 6 && value.find_first_not_of("0123456789") == value.npos;
      if (!number)
        return fail(ErrorCode::invalid_argument,
                    "config: {}={}: a number of threads, 0 for all cores, is wanted", key, value);
      config.threads = unsigned(std::stoul(value));
      if (config.threads == 0) config.threads = usable_cores();
    } else if (key == "weights") {
      config.weights = value;
    } else {
      return fail(ErrorCode::invalid_argument,
                  "config: unknown key '{}'; known are intra_op_num_threads and weights", key);
    }
  }
  return config;
}

Result<at::Device> choose_device(std::string_view text, std::vector<std::string>& notes) {
  const auto device = parse_device(text);
  if (!device) return std::unexpected(device.error());
  if (device->kind == DeviceName::Kind::cpu) {
    if (device->index == 0) return at::Device(at::kCPU);
    return fail(ErrorCode::unavailable, "device={} is not usable: there is one CPU device; usable: CPU",
                text);
  }
  if (device->all)
    return fail(ErrorCode::invalid_argument, "device={} names several devices where one is wanted", text);
  std::string missing;
  if (!torch::cuda::is_available())
    missing = "libtorch " TORCH_VERSION " has no CUDA, or finds no device";
  else if (device->index >= int(torch::cuda::device_count()))
    missing = std::format("there are {} CUDA devices", torch::cuda::device_count());
  if (missing.empty()) {
    if (device->kind == DeviceName::Kind::automatic)
      notes.push_back(std::format("device=AUTO uses CUDA:{}, the first of {} that libtorch " TORCH_VERSION
                                  " finds",
                                  device->index, torch::cuda::device_count()));
    return at::Device(at::kCUDA, c10::DeviceIndex(device->index));
  }
  if (device->kind == DeviceName::Kind::automatic) {
    notes.push_back("device=AUTO uses the CPU: " + missing);
    return at::Device(at::kCPU);
  }
  return fail(ErrorCode::unavailable, "device={} is not usable: {}; usable: CPU", text, missing);
}

// Why a file that cannot be loaded cannot be.
std::unexpected<Error> not_loadable(const fs::path& path, const std::exception& error) {
  const std::string reason = torch_message(error);
  if (reason.find("constants.pkl") != reason.npos || reason.find("Legacy model format") != reason.npos ||
      reason.find("code/") != reason.npos)
    return fail(ErrorCode::unsupported,
                "{}: holds weights or a pickled model, not TorchScript; export it with "
                "torch.jit.script(model).save(…) or torch.jit.trace(model, example).save(…)",
                path.string());
  const bool damaged = reason.find("PytorchStreamReader") != reason.npos || reason.find("zip") != reason.npos;
  return fail(damaged ? ErrorCode::corrupt : ErrorCode::unsupported,
              "{}: {} (libtorch " TORCH_VERSION ": {})", path.string(),
              damaged ? "not a complete TorchScript file; fetch or export it again"
                      : "libtorch cannot load this model",
              reason);
}

// Ultralytics writes what it knows of the model as JSON.
std::map<std::string, std::string> read_metadata(const std::string& text) {
  std::map<std::string, std::string> metadata;
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return metadata;
  for (const auto& [key, value] : json.items())
    metadata[key] = value.is_string() ? value.get<std::string>() : value.dump();
  return metadata;
}

// The tensors of the model by their names.
std::map<std::string, at::Tensor> weights_of(const torch::jit::Module& module) {
  std::map<std::string, at::Tensor> weights;
  for (const auto& parameter : module.named_parameters()) weights[parameter.name] = parameter.value;
  for (const auto& buffer : module.named_buffers()) weights[buffer.name] = buffer.value;
  return weights;
}

Result<c10::IValue> read_weights(const fs::path& path) {
  if (auto readable = check_model_file(path); !readable) return forward_error(readable);
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::string reason;
  try {
    const c10::IValue value = torch::pickle_load(bytes);
    if (value.isGenericDict()) return value;
    reason = "GenericDict";
  } catch (const std::exception& error) {
    reason = torch_message(error);
  }
  // Libtorch cannot read the attributes that state_dict() adds to its ordered dictionary.
  if (reason.find("GenericDict") != reason.npos)
    return fail(
        ErrorCode::unsupported,
        "{}: is no plain dictionary of weights; write it with torch.save(dict(model.state_dict()), …)",
        path.string());
  return fail(ErrorCode::corrupt, "{}: is no file of weights that can be read: {}", path.string(), reason);
}

// Puts the tensors of a file that torch.save(dict(model.state_dict())) has written in place of the model's
// own.
Status load_weights(torch::jit::Module& module, const fs::path& path) {
  const auto value = read_weights(path);
  if (!value) return std::unexpected(value.error());
  auto own = weights_of(module);
  try {
    const at::NoGradGuard no_grad;
    for (const auto& entry : value->toGenericDict()) {
      const auto& name = entry.key().toStringRef();
      const auto found = own.find(name);
      if (found == own.end() || !entry.value().isTensor() ||
          found->second.sizes() != entry.value().toTensor().sizes())
        return fail(ErrorCode::invalid_argument, "{}: its '{}' does not fit the model", path.string(), name);
      found->second.copy_(entry.value().toTensor());
      own.erase(found);
    }
  } catch (const std::exception& error) {
    return fail(ErrorCode::corrupt, "{}: its weights cannot be used: {}", path.string(),
                torch_message(error));
  }
  if (own.empty()) return {};
  return fail(ErrorCode::invalid_argument, "{}: has no '{}', which the model wants", path.string(),
              own.begin()->first);
}

class TorchEngine final : public Engine {
 public:
  std::string_view name() const override { return "torch"; }
  bool reads(const fs::path& model) const override { return model.extension() == ".pt"; }

  Result<EngineInfo> info() override {
    Dl_info library = {};
    dladdr(reinterpret_cast<const void*>(&at::get_num_threads), &library);
    return EngineInfo{
        .version = TORCH_VERSION, .library = library.dli_fname ? library.dli_fname : "", .note = {}};
  }

  Result<std::vector<std::string>> devices(std::string_view pattern) override {
    if (!torch::cuda::is_available())
      return fail(ErrorCode::unavailable,
                  "device={} is not usable: libtorch " TORCH_VERSION
                  " has no CUDA, or finds no device; usable: CPU",
                  pattern);
    std::vector<std::string> names;
    for (size_t i = 0; i < torch::cuda::device_count(); ++i) names.push_back(std::format("CUDA:{}", i));
    return names;
  }

  Status check_device(std::string_view text) override {
    if (const auto device = parse_device(text); device && device->all) {
      const auto all = devices(text);
      return all ? Status{} : Status(std::unexpected(all.error()));
    }
    std::vector<std::string> notes;
    const auto device = choose_device(text, notes);
    if (!device) return std::unexpected(device.error());
    return {};
  }

  Result<std::unique_ptr<LoadedModel>> load(const fs::path& path, const LoadOptions& wanted) override {
    if (path.string().starts_with("torchvision.models.") || path.extension() == ".pt2")
      return fail(
          ErrorCode::unsupported,
          "{}: such models are run by Python's sightglass.torch; this engine reads TorchScript: export the "
          "model with torch.jit.script(model).save(\"model.pt\")",
          path.string());
    if (auto readable = check_model_file(path); !readable) return forward_error(readable);
    const auto config = parse(wanted.config);
    if (!config) return std::unexpected(config.error());
    TorchSettings settings;
    const auto device = choose_device(wanted.device, settings.notes);
    if (!device) return std::unexpected(device.error());
    settings.device = *device;
    const bool latency = wanted.policy == SchedulingPolicy::latency;
    settings.threads = config->threads ? config->threads : latency ? usable_cores() : 1;
    // On a GPU requests queue up behind each other anyway; a second one hides the copies.
    settings.requests = device->is_cuda() ? 2 : latency ? 1 : std::max(1u, usable_cores() / settings.threads);

    torch::jit::ExtraFilesMap extra{{"config.txt", ""}};
    std::optional<torch::jit::Module> module;
    try {
      module = torch::jit::load(path.string(), *device, extra);
      module->eval();
    } catch (const std::exception& error) {
      return not_loadable(path, error);
    }
    if (!config->weights.empty())
      if (auto loaded = load_weights(*module, config->weights); !loaded) return forward_error(loaded);
    return load_torch_model(*std::move(module), path, wanted, std::move(settings),
                            read_metadata(extra["config.txt"]));
  }
};

TorchEngine engine;
const ModuleEngineRegistration registration("torch", engine);

}  // namespace
}  // namespace sightglass
