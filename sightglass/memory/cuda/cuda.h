// Memory of NVIDIA devices. The driver is found at run time; without one everything here answers with an
// error.
//
//   auto mapped = map_to(frame, {.form = {MemoryKind::cuda, PixelFormat::nv12}, .access = Access::read});
//   const Tensor& luma = mapped->frame().tensors[0];
//   cuda_wait(luma, stream);                        // the kernel runs after the upload, on the device
//   resize<<<grid, block, 0, stream>>>(reinterpret_cast<uint8_t*>(cuda_pointer(luma)), luma.strides[0], …);
//   cuda_written(output, stream);                   // whoever maps `output` waits for the kernel
//
// Everything lies in the primary context of a device, which the runtime API, ONNX Runtime, PyTorch and
// GStreamer (with a wrapped context) use as well. Handles of the context: "CUcontext", "CUstream" (our own
// stream, in which uploads and downloads run). Blocks have to live until the work of streams other than ours
// on them is done.
//
// Downloads go to pinned memory and are waited for when the CPU maps it. After fork() the child gets errors:
// CUDA does not survive it. Thread-safe; needs no CUDA header.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "sightglass/core/memory.h"
#include "sightglass/core/tensor.h"
#include "sightglass/memory/context.h"
#include "sightglass/memory/cuda/deferred_write.h"
#include "sightglass/memory/system/wrapped_memory.h"

struct CUstream_st;

namespace sightglass {

struct Frame;

class CudaMemory : public Memory {
 public:
  uint64_t address() const { return address_; }  // of the device; as long as this block
  // Makes work that is put into `stream` from now on wait for what is in flight on the block.
  virtual Status wait_in(CUstream_st* stream) = 0;
  virtual void set_fence(Ref<Fence> fence) = 0;
  // Blocks of a pool that says so may be filled by their reader, see deferred_write.h.
  virtual bool takes_deferred() const = 0;
  virtual void defer(Ref<DeferredWrite> write) = 0;
  virtual Ref<DeferredWrite> deferred() const = 0;  // null: it is filled

 protected:
  CudaMemory(uint64_t address, size_t size) : Memory(MemoryKind::cuda, size), address_(address) {}
  void point_to(uint64_t address) { address_ = address; }

 private:
  uint64_t address_;
};

// The context of a device by its number; opened once.
Result<ContextRef> cuda_context(int device);
int cuda_devices();                       // 0 without a driver
int cuda_number(const Context& context);  // of its device; 0: it is of none
// What a program that was compiled for the device depends on: "NVIDIA H100 80GB HBM3 sm_90". Empty: no
// device.
std::string cuda_identity(const ContextRef& context);

// Address of the tensor's first element; 0: it does not lie in CUDA memory.
uint64_t cuda_pointer(const Tensor& tensor);
Status cuda_wait(const Tensor& tensor, CUstream_st* stream);
// What is deferred (deferred_write.h) is written now, in our own stream.
Status cuda_fill(const Tensor& tensor);
// What has been put into `stream` so far writes the tensor.
Status cuda_written(const Tensor& tensor, CUstream_st* stream);
// This thread sleeps until nothing is in flight on the tensor's block.
Status cuda_finish(const Tensor& tensor);
// The tensors of a frame to those of another, of the same types and shapes, within a device, behind what is
// in flight on both. Returns when they are there, so that `from` may go.
Status cuda_copy(const Frame& from, const Frame& to);

// A null context: that of the first device.
Result<MemoryRef> allocate_cuda(const ContextRef& context, size_t size);
// Blocks of one size that come back by themselves. Warm, acquire() allocates nothing. `takes_deferred`: whose
// reader fills them, see deferred_write.h.
Result<Ref<MemoryPool>> make_cuda_pool(const ContextRef& context, size_t block_size,
                                       bool takes_deferred = false);
// Memory of somebody else, such as a decoder's surface or a tensor of PyTorch. `writable` is asked each time
// (Memory::writable()); null: it always is.
using IsWritable = std::move_only_function<bool() const noexcept>;
Result<MemoryRef> wrap_cuda(const ContextRef& context, uint64_t address, size_t size, ReleaseMemory release,
                            IsWritable writable = nullptr);
// Such memory goes back to its owner now, whoever still holds the block: for who has put its next use behind
// what is in flight by himself. Nothing more is put in flight on it.
void cuda_give_back(const Tensor& tensor);

// A block for another process of this machine; that process imports it while this one keeps it. The work in
// flight is waited for. Memory that came from another process cannot be exported again.
struct CudaIpcHandle {
  std::array<std::byte, 64> handle{};
  uint64_t offset = 0, size = 0;  // of the block within the allocation
};
Result<CudaIpcHandle> export_cuda(const Memory& memory);
Result<MemoryRef> import_cuda(const ContextRef& context, const CudaIpcHandle& handle);

}  // namespace sightglass
