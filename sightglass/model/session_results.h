// Where a request's outputs are found: memory that is bound to its place only when the batch that the sample
// has got into is run, and the fence that says when. So nobody reserves a place in a batch, and each sample's
// outputs are a part of the batch's outputs, without a copy.
//
//   Ref<ResultMemory> result = pool->acquire();   // by the stream, at submission
//   result->set_fence(fence);
//   result->bind(block, address);                 // by the worker, before it opens the fence
#pragma once

#include <mutex>

#include "sightglass/memory/completion_fence.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {

class RequestQueue;

class ResultPool;

// Bytes of a block that is not known yet. map() waits for the fence, and the fence is opened after bind().
class ResultMemory final : public SystemMemory {
 public:
  void bind(MemoryRef block, std::byte* data) {
    block_ = std::move(block);
    point_to(data);
  }

 private:
  friend ResultPool;
  explicit ResultMemory(size_t size) : SystemMemory(nullptr, size) {}
  void dispose() noexcept override;

  MemoryRef block_;
  Ref<ResultPool> pool_;  // while in use
  ResultMemory* next_ = nullptr;
};

// Gives out results of one size again and again. Thread-safe; results may outlive every other reference.
class ResultPool final : public RefCounted {
 public:
  explicit ResultPool(size_t size) : size_(size) {}
  ~ResultPool() override;
  Ref<ResultMemory> acquire();

 private:
  friend ResultMemory;
  const size_t size_;  // bytes
  std::mutex mutex_;
  ResultMemory* free_ = nullptr;
};

// A thread that waits for a result of its own stream sends nothing meanwhile, which the queue has to know. A
// worker of the queue does not wait: whoever it would wait for may be behind it; it gets result_pending().
class ResultFence final : public CompletionFence {
 public:
  explicit ResultFence(Ref<RequestQueue> queue) : queue_(std::move(queue)) {}
  Status wait() override;

 private:
  const Ref<RequestQueue> queue_;
};
bool is_result_pending(const Error& error);

}  // namespace sightglass
