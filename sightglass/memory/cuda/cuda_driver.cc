#include "sightglass/memory/cuda/cuda_driver.h"

#include <dlfcn.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>

namespace sightglass {
namespace {

std::atomic<bool> is_open{false}, is_forked{false};
CudaDriver functions;

template <class Function>
bool find(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(library, name));
  return function;
}

Status load() {
  void* const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library)
    return fail(ErrorCode::unavailable,
                "there is no NVIDIA driver on this machine (libcuda.so.1 is not found)");
  CudaDriver& f = functions;
  const bool found =
      find(library, "cuInit", f.init) && find(library, "cuDeviceGetCount", f.device_count) &&
      find(library, "cuDeviceGet", f.device) && find(library, "cuDeviceGetName", f.device_name) &&
      find(library, "cuDevicePrimaryCtxSetFlags_v2", f.primary_flags) &&
      find(library, "cuDevicePrimaryCtxRetain", f.retain_primary) &&
      find(library, "cuCtxPushCurrent_v2", f.push) && find(library, "cuCtxPopCurrent_v2", f.pop) &&
      find(library, "cuMemAlloc_v2", f.alloc) && find(library, "cuMemFree_v2", f.free) &&
      find(library, "cuMemAllocHost_v2", f.alloc_host) && find(library, "cuMemFreeHost", f.free_host) &&
      find(library, "cuMemGetAddressRange_v2", f.address_range) && find(library, "cuMemcpyAsync", f.copy) &&
      find(library, "cuMemcpy2DAsync_v2", f.copy_2d) && find(library, "cuMemsetD8Async", f.fill) &&
      find(library, "cuStreamCreate", f.stream_create) &&
      find(library, "cuStreamDestroy_v2", f.stream_destroy) &&
      find(library, "cuStreamSynchronize", f.stream_synchronize) &&
      find(library, "cuStreamWaitEvent", f.stream_wait_event) &&
      find(library, "cuEventCreate", f.event_create) && find(library, "cuEventDestroy_v2", f.event_destroy) &&
      find(library, "cuEventRecord", f.event_record) && find(library, "cuEventQuery", f.event_query) &&
      find(library, "cuEventSynchronize", f.event_synchronize) &&
      find(library, "cuDeviceGetAttribute", f.device_attribute) &&
      find(library, "cuModuleLoadData", f.module_load) &&
      find(library, "cuModuleGetFunction", f.module_function) &&
      find(library, "cuLaunchKernel", f.launch_kernel) && find(library, "cuGetErrorString", f.error_string) &&
      find(library, "cuThreadExchangeStreamCaptureMode", f.exchange_capture_mode) &&
      find(library, "cuIpcGetMemHandle", f.ipc_export) &&
      find(library, "cuIpcOpenMemHandle_v2", f.ipc_open) && find(library, "cuIpcCloseMemHandle", f.ipc_close);
  if (!found) return fail(ErrorCode::unavailable, "the NVIDIA driver is too old: {}", dlerror());
  if (auto status = cuda_status("the NVIDIA driver cannot be used", f.init(0)); !status) return status;
  int count = 0;
  if (auto status = cuda_status("no CUDA device", f.device_count(&count)); !status) return status;
  if (count == 0) return fail(ErrorCode::unavailable, "the NVIDIA driver has no device");
  is_open = true;
  return {};
}

}  // namespace

Result<const CudaDriver*> cuda_driver() {
  static const Status loaded = [] {
    pthread_atfork(nullptr, nullptr, [] { is_forked = is_open.load(); });
    return load();
  }();
  if (is_forked.load(std::memory_order_relaxed))
    return fail(
        ErrorCode::unavailable,
        "CUDA cannot be used here: this process was forked from one that had it open; start it anew instead "
        "(in Python: multiprocessing with the start method \"spawn\")");
  if (!loaded) return std::unexpected(loaded.error());
  return &functions;
}

Status cuda_status(std::string_view call, CUresult code) {
  if (code == CUDA_SUCCESS) return {};
  const char* text = nullptr;
  if (functions.error_string) functions.error_string(code, &text);
  // Numbers of cuda.h, of which the header that is used here has no names.
  constexpr int out_of_memory = 2;
  constexpr int misfits[] = {200, 209, 218, 222};  // image, no binary for the GPU, PTX, version of PTX
  const bool is_misfit = std::ranges::contains(misfits, int(code));
  return fail(int(code) == out_of_memory ? ErrorCode::exhausted
              : is_misfit                ? ErrorCode::unsupported
                                         : ErrorCode::unavailable,
              "{}: {} (CUDA error {})", call, text ? text : "unknown error", int(code));
}

}  // namespace sightglass
