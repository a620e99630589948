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
  Status status = fail(ErrorCode::unavailable, "no kernels have been built");
  if (!compiler && !source.binary.empty())
    status = cuda_status(std::format("kernels of {}", source.name),
                         (*scope)->module_load(&handle, source.binary.data()));
  if (!status) {
    auto made = compile_kernels(std::string(source.name), std::string(source.text), *capability);
    if (!made) return forward_error(made);
    by = made->compiler;
    status = cuda_status(std::format("kernels of {}", source.name),
                         (*scope)->module_load(&handle, made->binary.data()));
    if (!status) return forward_error(status);
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
