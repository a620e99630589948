// Tensors from and for everybody who speaks DLPack (numpy, PyTorch, JAX, CuPy…), without a copy. The
// structures are those of <dlpack/dlpack.h>, which the caller includes.
//
//   auto tensor = from_dlpack(managed);     // ours now: its deleter runs when the last reference is gone
//   auto managed = to_dlpack(*tensor);      // theirs now: they call managed->deleter(managed)
//
// Strides are bytes here and elements there. Memory of kind dlpack is a DLManagedTensor over memory of the
// CPU, one for each tensor of a frame; what comes in lies where its device says, as memory of kind system or
// cuda. Of CUDA tensors the work in one stream counts, that of who takes them: by default the default stream,
// which has to come after what is in flight, either way.
//
// Thread-safe; deleters run on the thread that drops the last reference.
#pragma once

#include <optional>

#include "sightglass/core/result.h"
#include "sightglass/core/tensor.h"

struct CUstream_st;
struct DLManagedTensor;
struct DLManagedTensorVersioned;

namespace sightglass {

// Takes `managed`; on an error it stays the caller's. Refused are null, more than eight axes, negative
// strides, types that a DataType cannot be, devices that this build does not know, and a version that is
// not 1.
Result<Tensor> from_dlpack(DLManagedTensor* managed);
Result<Tensor> from_dlpack(DLManagedTensorVersioned* managed);

// A new one of memory of the CPU, mapped for `access` until its deleter is called, or of CUDA. Waits for work
// in flight: on the CPU, and in `stream` (null: the default one) on a device. When the deleter is called the
// memory is used again only behind what has been put into the stream by then. Without a stream there is no
// order, which is the caller's. Refused are strides that are no multiple of the element.
Result<DLManagedTensor*> to_dlpack(const Tensor& tensor, Access access = Access::read_write,
                                   std::optional<CUstream_st*> stream = nullptr);
// The same in the versioned form, which can say that it may not be written to: where `access` is read.
Result<DLManagedTensorVersioned*> to_dlpack_versioned(const Tensor& tensor,
                                                      Access access = Access::read_write);

// Of a tensor in memory of kind dlpack, lent: valid as long as the memory, its deleter is not for the caller.
// Null for any other.
const DLManagedTensor* dlpack_tensor(const Tensor& tensor);

}  // namespace sightglass
