// Bytes that are handed on as memory of the CPU and lie on a CUDA device until somebody maps them: results of
// a model that runs there. Who can read them on the device asks for them, and they never cross.
//
//   auto there = device_tensor(frame.tensors[0]);     // waits until they are written, as map() does
//   if (!there) return forward_error(there);
//   if (!there->memory) return read(map(frame.tensors[0], Access::read));   // they lie with the CPU
//   launch(…, cuda_pointer(*there), …);               // `*there` has to live until that is done
//
// Thread-safe as memory is.
#pragma once

#include <cstddef>

#include "sightglass/core/memory.h"
#include "sightglass/core/result.h"
#include "sightglass/core/tensor.h"

namespace sightglass {

struct DevicePlace {
  MemoryRef block;    // of kind cuda; null: the bytes lie with the CPU
  size_t offset = 0;  // bytes into it
};

// A memory that may be so. Mapping it brings the bytes to the CPU.
class DeviceBytes {
 public:
  virtual Result<DevicePlace> on_device() = 0;

 protected:
  ~DeviceBytes() = default;
};

// The tensor in CUDA memory, also one that lies there openly; its memory is null where it is not on a device.
Result<Tensor> device_tensor(const Tensor& tensor);

// Bytes of CUDA memory in pinned memory of the CPU; waits until they are there. Memory of ours only.
Result<MemoryRef> download_cuda(const Memory& memory, size_t offset, size_t bytes);

}  // namespace sightglass
