// NVIDIA's driver, found at run time. For the sources of this folder only.
#pragma once

#include <ffnvcodec/dynlink_cuda.h>

#include <string_view>

#include "sightglass/core/result.h"

namespace sightglass {

struct CudaIpcBytes {
  char reserved[64];
};

struct CudaDriver {
  CUresult (*init)(unsigned);
  CUresult (*device_count)(int*);
  CUresult (*device)(CUdevice*, int);
  CUresult (*device_name)(char*, int, CUdevice);
  CUresult (*primary_flags)(CUdevice, unsigned);
  CUresult (*retain_primary)(CUcontext*, CUdevice);
  CUresult (*push)(CUcontext);
  CUresult (*pop)(CUcontext*);
  CUresult (*alloc)(CUdeviceptr*, size_t);
  CUresult (*free)(CUdeviceptr);
  CUresult (*alloc_host)(void**, size_t);
  CUresult (*free_host)(void*);
  CUresult (*address_range)(CUdeviceptr*, size_t*, CUdeviceptr);
  CUresult (*copy)(CUdeviceptr, CUdeviceptr, size_t, CUstream);  // of any two places
  CUresult (*copy_2d)(const CUDA_MEMCPY2D*, CUstream);
  CUresult (*fill)(CUdeviceptr, unsigned char, size_t, CUstream);
  CUresult (*stream_create)(CUstream*, unsigned);
  CUresult (*stream_destroy)(CUstream);
  CUresult (*stream_synchronize)(CUstream);
  CUresult (*stream_wait_event)(CUstream, CUevent, unsigned);
  CUresult (*event_create)(CUevent*, unsigned);
  CUresult (*event_destroy)(CUevent);
  CUresult (*event_record)(CUevent, CUstream);
  CUresult (*event_query)(CUevent);
  CUresult (*event_synchronize)(CUevent);
  CUresult (*device_attribute)(int*, CUdevice_attribute, CUdevice);
  CUresult (*module_load)(CUmodule*, const void*);
  CUresult (*module_function)(CUfunction*, CUmodule, const char*);
  CUresult (*launch_kernel)(CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                            CUstream, void**, void**);
  CUresult (*error_string)(CUresult, const char**);
  CUresult (*exchange_capture_mode)(int*);  // CUstreamCaptureMode of the calling thread
  CUresult (*ipc_export)(CudaIpcBytes*, CUdeviceptr);
  CUresult (*ipc_open)(CUdeviceptr*, CudaIpcBytes, unsigned);
  CUresult (*ipc_close)(CUdeviceptr);
};

// Loaded and initialised at the first call. Unavailable: no driver, no device, or this process is the child
// of one that had CUDA open.
Result<const CudaDriver*> cuda_driver();

// `call` says what was tried: "640 bytes of CUDA memory". Exhausted: memory; unsupported: machine code that
// is not for this device; else unavailable.
Status cuda_status(std::string_view call, CUresult code);

}  // namespace sightglass
