// Where a request's outputs are found: memory that is bound to its place only when the batch that the sample
// has got into is run, and the fence that says when. So nobody reserves a place in a batch, and each sample's
// outputs are a part of the batch's outputs, without a copy.
//
//   Ref<ResultMemory> result = pool->acquire();   // by the stream, at submission
//   result->set_fence(fence);
//   result->bind(block, address);                 // by the worker, before it opens the fence
//
// Of a model on a device the outputs stay there and come to the CPU when they are mapped, sample by sample. A
// stream whose results are mapped before anybody has asked for them on the device gets them from then on with
// the batch, which is cheaper.
#pragma once

#include <atomic>
#include <mutex>

#include "sightglass/memory/completion_fence.h"
#include "sightglass/memory/copy_ledger.h"
#include "sightglass/memory/cuda/device_bytes.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {

class RequestQueue;

class ResultPool;

// Bytes of a block that is not known yet. map() waits for the fence, and the fence is opened after bind().
class ResultMemory final : public SystemMemory, public DeviceBytes {
 public:
  void bind(MemoryRef block, std::byte* data) {
    block_ = std::move(block);
    point_to(data);
  }
  // In CUDA memory, at `offset` of the block.
  void bind_on_device(MemoryRef block, size_t offset) {
    block_ = std::move(block);
    offset_ = offset;
    is_on_device_ = true;
  }
  // Whether the stream's results are read by the CPU.
  bool is_for_cpu() const;

  Result<std::byte*> map(Access access) override;
  Result<DevicePlace> on_device() override;

 private:
  friend ResultPool;
  explicit ResultMemory(size_t size) : SystemMemory(nullptr, size) {}
  void dispose() noexcept override;

  MemoryRef block_;
  size_t offset_ = 0;
  bool is_on_device_ = false;
  std::mutex mutex_;                // of the following, and of block_ on a device
  MemoryRef downloaded_;            // pinned, as long as this is in use
  std::byte* host_ = nullptr;       // its first byte
  bool was_asked_for_ = false;      // on the device
  bool is_changed_by_cpu_ = false;  // what lies on the device is no longer true
  Ref<ResultPool> pool_;            // while in use
  ResultMemory* next_ = nullptr;
};

// Gives out results of one size again and again. Thread-safe; results may outlive every other reference.
class ResultPool final : public RefCounted {
 public:
  // `downloads`: where results are counted that come from a device one by one; null without a device.
  explicit ResultPool(size_t size, CopyLedger::Hop* downloads = nullptr)
      : size_(size), downloads_(downloads) {}
  ~ResultPool() override;
  Ref<ResultMemory> acquire();

 private:
  friend ResultMemory;
  const size_t size_;  // bytes
  CopyLedger::Hop* const downloads_;
  std::atomic<bool> is_for_cpu_ = false;
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
