#include "sightglass/memory/cuda/cuda_module.h"

#include <format>
#include <map>
#include <mutex>
#include <utility>

#include "sightglass/memory/cuda/cuda_block.h"
#include "sightglass/memory/cuda/nvrtc.h"

namespace sightglass {
namespace {

struct Loaded {
  std::mutex mutex;
  std::map<std::pair<const CudaContext*, std::string_view>, Ref<CudaModule>> by_name;
};

Loaded& loaded() {
  static Loaded& instance = *new Loaded;  // never destroyed: the driver may have gone before
  return instance;
}

Result<int> capability_of(const CudaContext& context) {
  auto scope = CudaScope::enter(context);
  if (!scope) return forward_error(scope);
  CUdevice device;
  int major = 0, minor = 0;
  if (auto status = cuda_status("no CUDA device", (*scope)->device(&device, context.device())); !status)
    return forward_error(status);
  (*scope)->device_attribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device);
  (*scope)->device_attribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device);
  return major * 10 + minor;
}

}  // namespace

Result<Ref<CudaModule>> CudaModule::load(const ContextRef& context, const CudaSource& source, bool compiler) {
  auto device = CudaContext::of(context);
  if (!device) return forward_error(device);
  Loaded& all = loaded();
  // Held while compiling: whoever needs it as well would compile the same.
  const std::scoped_lock lock(all.mutex);
  const auto key = std::pair(device->get(), source.name);
  if (const auto found = all.by_name.find(key); found != all.by_name.end() && !compiler) return found->second;

  auto capability = capability_of(**device);
  if (!capability) return forward_error(capability);
  auto scope = CudaScope::enter(**device);
  if (!scope) return forward_error(scope);
  CUmodule handle = nullptr;
  std::string by = "nvcc";
  const std::string name(source.name);
  const auto load_from = [&](std::span<const std::byte> binary) {
    return cuda_status("kernels of " + name, (*scope)->module_load(&handle, binary.data()));
  };
  // Machine code for other devices, or for another driver, does not load; anything else is no reason to
  // compile.
  const auto is_misfit = [](const Status& failed) { return failed.error().code == ErrorCode::unsupported; };
  Status built;
  const bool has_binary = !compiler && !source.binary.empty();
  if (has_binary) built = load_from(source.binary);
  if (!built && !is_misfit(built)) return forward_error(built);
  if (!has_binary || !built) {
    const auto made_by_compiler = [&](bool anew) -> Status {
      auto made = compile_kernels(name, std::string(source.text), *capability, anew);
      if (!made) return forward_error(made);
      by = made->compiler;
      return load_from(made->binary);
    };
    Status made = made_by_compiler(false);
    if (!made && is_misfit(made)) made = made_by_compiler(true);
    if (!made && !built)  // why they had to be compiled
      return fail(made.error().code, "{}; those of the build: {}", made.error().message,
                  built.error().message);
    if (!made) return forward_error(made);
  }
  Ref<CudaModule> module(
      new CudaModule(ContextRef(*device), handle, std::format("sm_{} by {}", *capability, by)));
  return all.by_name.insert_or_assign(key, std::move(module)).first->second;
}

Result<CUfunc_st*> CudaModule::kernel(const char* name) const {
  auto scope = CudaScope::enter(static_cast<const CudaContext&>(*context_));
  if (!scope) return forward_error(scope);
  CUfunction function = nullptr;
  auto status =
      cuda_status(std::format("kernel {}", name), (*scope)->module_function(&function, module_, name));
  if (!status) return forward_error(status);
  return function;
}

Status launch(const ContextRef& context, CUfunc_st* kernel, const LaunchSize& size, CUstream_st* stream,
              const void* argument) {
  auto scope = CudaScope::enter(static_cast<const CudaContext&>(*context));
  if (!scope) return forward_error(scope);
  void* arguments[] = {const_cast<void*>(argument)};
  const auto& [grid, block, shared] = size;
  return cuda_status("a kernel cannot be launched",
                     (*scope)->launch_kernel(kernel, grid[0], grid[1], grid[2], block[0], block[1], block[2],
                                             shared, stream, arguments, nullptr));
}

}  // namespace sightglass
