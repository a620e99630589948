#include "tests/cuda/driver_double.h"

#include <ffnvcodec/dynlink_cuda.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace {

using namespace sightglass::test;

constexpr size_t most_bytes = size_t(1) << 40;
constexpr int invalid_value = 1, invalid_context = 201, not_supported = 801;
constexpr int devices = 2;

struct State {
  std::mutex mutex;
  std::map<std::string, unsigned> calls;
  std::map<std::string, std::pair<unsigned, int>> faults;  // calls until it fails, with what
  std::map<CUdeviceptr, size_t> blocks;
  std::map<CUdeviceptr, std::byte*> block_data;  // what LeakSanitizer finds them by
  std::map<void*, size_t> pinned;
  std::map<std::string, CudaDoubleKernel> kernels;
};
State& state() {
  static State& instance = *new State;  // used until the process is gone
  return instance;
}
thread_local std::vector<CUcontext> entered;
char contexts[devices];

struct IpcBytes {
  char reserved[64];
};

int done() { return 0; }

size_t sum_of(const auto& blocks) {
  const std::lock_guard lock(state().mutex);
  size_t bytes = 0;
  for (const auto& [address, size] : blocks) bytes += size;
  return bytes;
}

// What the call answers before it does anything.
int begin(const char* call) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  ++s.calls[call];
  int code = 0;
  for (const char* name : {call, ""})
    if (const auto fault = s.faults.find(name); fault != s.faults.end()) {
      if (fault->second.first > 1)
        --fault->second.first;
      else
        code = fault->second.second;
    }
  return code;
}

std::byte* host(CUdeviceptr address) { return reinterpret_cast<std::byte*>(address & ~on_device); }

// `call(__func__, work)`: unless it is to fail, does what it is for, in a context.
template <class Work>
CUresult call(const char* name, Work work) {
  if (const int code = begin(name)) return CUresult(code);
  return CUresult(entered.empty() ? invalid_context : work());
}

}  // namespace

extern "C" {

// ---- needs no context

CUresult cuInit(unsigned) { return CUresult(begin(__func__)); }
CUresult cuDeviceGetCount(int* count) {
  *count = devices;
  return CUresult(begin(__func__));
}
CUresult cuDeviceGet(CUdevice* device, int index) {
  *device = index;
  return CUresult(begin(__func__));
}
CUresult cuDeviceGetName(char* name, int, CUdevice) {
  std::strcpy(name, "Double");
  return CUresult(begin(__func__));
}
CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute what, CUdevice) {
  *value = what == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR ? 9 : 0;
  return CUresult(begin(__func__));
}
CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice, unsigned) { return CUresult(begin(__func__)); }
CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  *context = reinterpret_cast<CUcontext>(&contexts[device]);
  return CUresult(begin(__func__));
}
CUresult cuCtxPushCurrent_v2(CUcontext context) {
  const int code = begin(__func__);
  if (code == 0) entered.push_back(context);
  return CUresult(code);
}
// Never fails, so that what was entered is left.
CUresult cuCtxPopCurrent_v2(CUcontext* context) {
  if (entered.empty()) return CUresult(invalid_context);
  *context = entered.back();
  entered.pop_back();
  return CUDA_SUCCESS;
}
CUresult cuThreadExchangeStreamCaptureMode(int*) { return CUresult(begin(__func__)); }
CUresult cuGetErrorString(CUresult code, const char** text) {
  switch (int(code)) {
    case out_of_memory:
      *text = "out of memory";
      break;
    case device_gone:
      *text = "CUDA-capable device(s) is/are busy or unavailable";
      break;
    case no_binary:
      *text = "no kernel image is available for execution on the device";
      break;
    default:
      *text = "some error";
  }
  return CUDA_SUCCESS;
}

// ---- memory

CUresult cuMemAlloc_v2(CUdeviceptr* address, size_t size) {
  return call(__func__, [&] {
    if (size == 0) return invalid_value;
    if (size > most_bytes) return out_of_memory;
    *address = reinterpret_cast<CUdeviceptr>(new std::byte[size]) | on_device;
    const std::lock_guard lock(state().mutex);
    state().blocks[*address] = size;
    state().block_data[*address] = host(*address);
    return 0;
  });
}
CUresult cuMemFree_v2(CUdeviceptr address) {
  return call(__func__, [&] {
    const std::lock_guard lock(state().mutex);
    if (state().blocks.erase(address) == 0) return invalid_value;
    state().block_data.erase(address);
    delete[] host(address);
    return 0;
  });
}
CUresult cuMemAllocHost_v2(void** data, size_t size) {
  return call(__func__, [&] {
    if (size > most_bytes) return out_of_memory;
    *data = new std::byte[size];
    const std::lock_guard lock(state().mutex);
    state().pinned[*data] = size;
    return 0;
  });
}
CUresult cuMemFreeHost(void* data) {
  return call(__func__, [&] {
    const std::lock_guard lock(state().mutex);
    if (state().pinned.erase(data) == 0) return invalid_value;
    delete[] static_cast<std::byte*>(data);
    return 0;
  });
}
CUresult cuMemGetAddressRange_v2(CUdeviceptr* start, size_t* size, CUdeviceptr address) {
  return call(__func__, [&] {
    const std::lock_guard lock(state().mutex);
    auto found = state().blocks.upper_bound(address);
    if (found == state().blocks.begin()) return invalid_value;
    --found;
    *start = found->first;
    *size = found->second;
    return 0;
  });
}
CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream) {
  return call(__func__, [&] {
    std::memcpy(host(to), host(from), bytes);
    return 0;
  });
}
CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D* copy, CUstream) {
  return call(__func__, [&] {
    const bool from_device = copy->srcMemoryType == CU_MEMORYTYPE_DEVICE,
               to_device = copy->dstMemoryType == CU_MEMORYTYPE_DEVICE;
    const auto* from = from_device ? host(copy->srcDevice) : static_cast<const std::byte*>(copy->srcHost);
    auto* to = to_device ? host(copy->dstDevice) : static_cast<std::byte*>(copy->dstHost);
    for (size_t row = 0; row < copy->Height; ++row)
      std::memcpy(to + row * copy->dstPitch, from + row * copy->srcPitch, copy->WidthInBytes);
    return 0;
  });
}
CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream) {
  return call(__func__, [&] {
    std::memset(host(to), value, bytes);
    return 0;
  });
}

// ---- streams, events, kernels

CUresult cuStreamCreate(CUstream* stream, unsigned) {
  return call(__func__, [&] {
    *stream = reinterpret_cast<CUstream>(new char);
    return 0;
  });
}
CUresult cuStreamDestroy_v2(CUstream stream) {
  return call(__func__, [&] {
    delete reinterpret_cast<char*>(stream);
    return 0;
  });
}
CUresult cuStreamSynchronize(CUstream) { return call(__func__, done); }
CUresult cuStreamWaitEvent(CUstream, CUevent, unsigned) { return call(__func__, done); }
CUresult cuEventCreate(CUevent* event, unsigned) {
  return call(__func__, [&] {
    *event = reinterpret_cast<CUevent>(new char);
    return 0;
  });
}
CUresult cuEventDestroy_v2(CUevent event) {
  return call(__func__, [&] {
    delete reinterpret_cast<char*>(event);
    return 0;
  });
}
CUresult cuEventRecord(CUevent, CUstream) { return call(__func__, done); }
CUresult cuEventQuery(CUevent) { return call(__func__, done); }
CUresult cuEventSynchronize(CUevent) { return call(__func__, done); }
CUresult cuModuleLoadData(CUmodule* module, const void*) {
  *module = reinterpret_cast<CUmodule>(contexts);
  return call(__func__, done);
}
CUresult cuModuleGetFunction(CUfunction* function, CUmodule, const char* name) {
  return call(__func__, [&] {
    const std::lock_guard lock(state().mutex);
    *function = reinterpret_cast<CUfunction>(&state().kernels[name]);
    return 0;
  });
}
CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                        unsigned block_x, unsigned block_y, unsigned block_z, unsigned, CUstream,
                        void** arguments, void**) {
  return call(__func__, [&] {
    const unsigned grid[] = {grid_x, grid_y, grid_z}, block[] = {block_x, block_y, block_z};
    if (const CudaDoubleKernel kernel = *reinterpret_cast<CudaDoubleKernel*>(function))
      kernel(grid, block, arguments[0]);
    return 0;
  });
}

// ---- no handles for other processes

CUresult cuIpcGetMemHandle(void*, CUdeviceptr) { return CUresult(not_supported); }
CUresult cuIpcOpenMemHandle_v2(CUdeviceptr*, IpcBytes, unsigned) { return CUresult(not_supported); }
CUresult cuIpcCloseMemHandle(CUdeviceptr) { return CUresult(not_supported); }

extern const CudaDouble cuda_double_controls;
const CudaDouble cuda_double_controls = {
    .fail =
        [](const char* name, unsigned from, int code) {
          const std::lock_guard lock(state().mutex);
          state().faults[name] = {from, code};
        },
    .heal =
        [] {
          const std::lock_guard lock(state().mutex);
          state().faults.clear();
        },
    .calls =
        [](const char* name) {
          const std::lock_guard lock(state().mutex);
          return state().calls[name];
        },
    .device_bytes = [] { return sum_of(state().blocks); },
    .pinned_bytes = [] { return sum_of(state().pinned); },
    .depth = [] { return int(entered.size()); },
    .set_kernel =
        [](const char* name, CudaDoubleKernel kernel) {
          const std::lock_guard lock(state().mutex);
          state().kernels[name] = kernel;
        },
};

}  // extern "C"
