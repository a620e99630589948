#include "sightglass/model/onnx/onnx_device.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/model/onnx/onnx_cuda.h"

namespace sightglass {
namespace {

// ", CUDA:0 to CUDA:3", as far as there are.
std::string others(int count) {
  if (count <= 0) return {};
  return count == 1 ? ", CUDA:0" : std::format(", CUDA:0 to CUDA:{}", count - 1);
}

std::unexpected<Error> not_usable(std::string_view text, const Error& reason, int usable) {
  return fail(ErrorCode::unavailable, "device={} is not usable: {}; usable: CPU{}", text, reason.message,
              others(usable));
}

// The first device that can be used, else why the first one cannot.
Result<OnnxCuda> first_usable(const OnnxMachine& machine) {
  auto first = machine.find_cuda(0);
  const int count = first ? 0 : machine.cuda_devices();
  for (int i = 1; i < count; ++i)
    if (auto other = machine.find_cuda(i)) return other;
  return first;
}

}  // namespace

OnnxMachine onnx_machine(const OnnxLibrary& library) {
  const auto find = [&library](int index) -> Result<OnnxCuda> {
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
    OnnxCuda cuda{.context = *std::move(context), .index = index, .provider = {}, .tensorrt = {}};
    Ort::SessionOptions options;
    if (Status added = add_cuda_provider(options, cuda, nullptr, false); !added)
      return fail(ErrorCode::unavailable, "ONNX Runtime {} ({}) cannot use {}: {}", library.info.version,
                  library.info.library, cuda.context->description(), added.error().message);
    return cuda;
  };
  return {.find_cuda = find, .cuda_devices = cuda_devices};
}

Result<OnnxDevice> choose_device(const OnnxMachine& machine, std::string_view text) {
  const auto device = parse_device(text);
  if (!device) return std::unexpected(device.error());
  if (device->kind == DeviceName::Kind::cpu) {
    if (device->index == 0) return OnnxDevice{};
    return fail(ErrorCode::unavailable, "device={} is not usable: there is one CPU device; usable: CPU",
                text);
  }
  if (device->all)
    return fail(ErrorCode::invalid_argument, "device={} names several devices where one is wanted", text);
  OnnxDevice chosen{.cuda = {}, .is_automatic = device->kind == DeviceName::Kind::automatic, .notes = {}};
  auto cuda = chosen.is_automatic ? first_usable(machine) : machine.find_cuda(device->index);
  if (cuda) {
    if (chosen.is_automatic)
      chosen.notes.push_back(
          std::format("device=AUTO uses CUDA:{}: {}", cuda->index, cuda->context->description()));
    chosen.cuda = *std::move(cuda);
    return chosen;
  }
  if (chosen.is_automatic) {
    chosen.notes.push_back("device=AUTO uses the CPU: " + cuda.error().message);
    return chosen;
  }
  // Another number helps only where this one is none of those that there are.
  const int count = machine.cuda_devices();
  return not_usable(text, cuda.error(), device->index < count ? 0 : count);
}

Result<std::vector<std::string>> each_device(const OnnxMachine& machine, std::string_view pattern) {
  // Whoever opens them leaves out those that do not work; here it is enough that one does.
  if (const auto usable = first_usable(machine); !usable) return not_usable(pattern, usable.error(), 0);
  std::vector<std::string> names;
  names.reserve(size_t(machine.cuda_devices()));
  for (int i = 0; i < machine.cuda_devices(); ++i) names.push_back(std::format("CUDA:{}", i));
  return names;
}

Result<std::unique_ptr<LoadedModel>> load_on(OnnxDevice device, const LoadOnDevice& load) {
  const bool may_change = device.is_automatic && device.cuda;
  const int index = may_change ? device.cuda->index : 0;
  auto model = load(std::move(device));
  if (model || !may_change || model.error().code != ErrorCode::exhausted) return model;
  return load(
      {.cuda = {},
       .is_automatic = true,
       .notes = {std::format("device=AUTO uses the CPU, not CUDA:{}: {}", index, model.error().message)}});
}

}  // namespace sightglass
