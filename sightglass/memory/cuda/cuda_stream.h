// A queue of work on a CUDA device, for those who run more on it than uploads and downloads: an engine, a
// kernel of an element.
//
//   auto stream = CudaStream::make(context);
//   (*stream)->wait_for(input);                                     // on the device, behind who writes it
//   (*stream)->copy(place, cuda_pointer(input), input.bytes());
//   (*stream)->copy(address_of(results->data()), output, bytes);
//   Status done = (*stream)->finish();                              // this thread sleeps until then
//
// One thread at a time. Needs no CUDA header.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>

#include "sightglass/core/result.h"
#include "sightglass/core/tensor.h"
#include "sightglass/memory/context.h"
#include "sightglass/memory/system/system_memory.h"

struct CUstream_st;

namespace sightglass {

class CudaContext;

class CudaStream {
 public:
  // A null context: that of the first device.
  static Result<std::unique_ptr<CudaStream>> make(const ContextRef& context);
  ~CudaStream();
  CudaStream(const CudaStream&) = delete;

  CUstream_st* get() const { return stream_; }
  const Ref<CudaContext>& device() const { return context_; }
  // What is put in from now on comes after what writes the tensor.
  Status wait_for(const Tensor& tensor);
  // Addresses of the device or of the CPU, where memory that is not pinned has been read when this returns.
  Status copy(uint64_t to, uint64_t from, size_t bytes);
  Status fill(uint64_t to, std::byte value, size_t bytes);
  // A fence that opens behind what has been put in so far.
  Result<Ref<Fence>> fence() const;
  Status finish() const;

 private:
  CudaStream(Ref<CudaContext> context, CUstream_st* stream);
  const Ref<CudaContext> context_;
  CUstream_st* const stream_;
};

inline uint64_t address_of(const void* data) { return reinterpret_cast<uintptr_t>(data); }

// Blocks of SystemMemory that the device copies to and from by itself; they come back by themselves. A null
// context: that of the first device.
Result<Ref<MemoryPool>> make_pinned_pool(const ContextRef& context, size_t block_size);

// A graph of work cannot be captured while any thread allocates on the device. This library's allocations
// hold the mutex shared; who captures holds it alone, and is let in before those who come later, as long as
// it is willing to wait. Not to be taken again by a thread that has it.
class CudaAllocations {
 public:
  bool try_lock_for(std::chrono::nanoseconds most);
  void unlock();
  void lock_shared();
  void unlock_shared();

 private:
  std::mutex mutex_;  // of the following
  std::condition_variable changed_;
  size_t sharing_ = 0;
  bool is_wanted_ = false;  // somebody waits to be alone, or is
};
CudaAllocations& cuda_allocations();

}  // namespace sightglass
