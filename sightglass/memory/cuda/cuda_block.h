// Blocks of device memory and of pinned memory of the CPU.
#pragma once

#include <mutex>
#include <utility>
#include <vector>

#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/cuda/cuda_context.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {

class CudaBlock final : public CudaMemory {
 public:
  enum class Owner : uint8_t { ours, other, other_process };

  CudaBlock(Ref<CudaContext> context, uint64_t address, size_t size, Owner owner,
            ReleaseMemory release = nullptr, IsWritable writable = nullptr);
  ~CudaBlock() override;

  const Context* context() const override { return context_.get(); }
  const Ref<CudaContext>& device() const { return context_; }
  Owner owner() const { return owner_; }
  bool writable() const override { return !writable_ || writable_(); }
  Ref<Fence> fence() const;
  Status wait_in(CUstream_st* stream) override;
  void set_fence(Ref<Fence> fence) override;
  bool takes_deferred() const override { return takes_deferred_; }
  void defer(Ref<DeferredWrite> write) override;
  Ref<DeferredWrite> deferred() const override;
  // What has been deferred, now: whoever comes next comes behind it.
  Status fill();
  // What the release of a wrapped block does, now.
  void give_back() {
    if (release_) std::exchange(release_, nullptr)();
  }
  // Through pinned memory: the first who maps it downloads, the last who has written uploads.
  Result<std::byte*> map(Access access) override;
  void unmap(Access access) override;

 private:
  friend CudaPool;
  void dispose() noexcept override;

  Ref<CudaContext> context_;
  Owner owner_;
  ReleaseMemory release_;
  IsWritable writable_;
  bool takes_deferred_ = false;
  mutable std::mutex mutex_;
  Ref<Fence> fence_;
  Ref<DeferredWrite> deferred_;
  Ref<DeferredWrite> filling_;  // until filled_ opens
  Ref<Fence> filled_;
  Ref<SystemMemory> staging_;  // while mapped
  int users_ = 0;
  bool is_written_ = false;
  Ref<CudaPool> pool_;  // null in the pool, and without one
  CudaBlock* next_ = nullptr;
};

// Memory of the CPU that the device reads and writes by itself. A fence on it is waited for before it is used
// again.
class PinnedBlock final : public SystemMemory {
 public:
  PinnedBlock(Ref<CudaContext> context, std::byte* data, size_t size)
      : SystemMemory(data, size), context_(std::move(context)) {}
  ~PinnedBlock() override;
  // What is being copied here stays alive until the block is back.
  void keep(std::vector<Tensor> origin) { origin_ = std::move(origin); }

 private:
  friend PinnedPool;
  void dispose() noexcept override;

  Ref<CudaContext> context_;
  std::vector<Tensor> origin_;
  Ref<PinnedPool> pool_;
  PinnedBlock* next_ = nullptr;
};

// Free blocks of one size on one device. Contexts live for ever, so that the blocks in here hold theirs.
// Thread-safe.
class CudaPool final : public RefCounted {
 public:
  CudaPool(Ref<CudaContext> context, size_t block_size, bool takes_deferred = false)
      : context_(std::move(context)), block_size_(block_size), takes_deferred_(takes_deferred) {}
  ~CudaPool() override;
  Result<Ref<CudaBlock>> acquire();

 private:
  friend CudaBlock;
  const Ref<CudaContext> context_;
  const size_t block_size_;
  const bool takes_deferred_;
  std::mutex mutex_;
  CudaBlock* free_ = nullptr;
};

class PinnedPool final : public RefCounted {
 public:
  PinnedPool(Ref<CudaContext> context, size_t block_size)
      : context_(std::move(context)), block_size_(block_size) {}
  ~PinnedPool() override;
  Result<Ref<PinnedBlock>> acquire();

 private:
  friend PinnedBlock;
  const Ref<CudaContext> context_;
  const size_t block_size_;
  std::mutex mutex_;
  PinnedBlock* free_ = nullptr;
};

// Rows of a tensor between device and CPU, in our stream; returns before it is done.
Status enqueue_copy(const CudaBlock& block, const Tensor& on_device, std::byte* host, const Tensor& on_host,
                    bool to_device);
// The same within a device.
Status enqueue_copy(const CudaBlock& from_block, const Tensor& from, const CudaBlock& to_block,
                    const Tensor& to);

}  // namespace sightglass
