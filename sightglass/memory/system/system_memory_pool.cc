#include "sightglass/memory/system/system_memory_pool.h"

#include <algorithm>
#include <new>

#include "sightglass/memory/system/aligned_bytes.h"

namespace sightglass {

class SystemMemoryPool::Block final : public SystemMemory {
 public:
  Block(AlignedBytes bytes, size_t size) : SystemMemory(bytes.get(), size), bytes_(std::move(bytes)) {}

  Ref<SystemMemoryPool> pool;  // while in use: keeps the pool alive; null in the pool
  Block* next = nullptr;

 private:
  void dispose() noexcept override {
    set_fence(nullptr);
    // May be the pool's last reference, so it goes after the block is back.
    const Ref<SystemMemoryPool> home = std::move(pool);
    if (home)
      home->give_back(*this);
    else
      delete this;
  }

  AlignedBytes bytes_;
};

SystemMemoryPool::~SystemMemoryPool() {
  while (free_) {
    const Ref<Block> last(std::exchange(free_, free_->next));  // without a pool it deletes itself
  }
}

SystemMemoryPool::Block* SystemMemoryPool::make_block() const {
  AlignedBytes bytes = allocate_aligned(options_.block_size);
  return bytes ? new (std::nothrow) Block(std::move(bytes), options_.block_size) : nullptr;
}

Status SystemMemoryPool::reserve(size_t count) {
  if (options_.max_blocks) count = std::min(count, options_.max_blocks);
  std::lock_guard lock(mutex_);
  while (allocated_ < count) {
    Block* block = make_block();
    if (!block) return out_of_memory(options_.block_size);
    block->next = std::exchange(free_, block);
    ++allocated_;
    ++available_;
  }
  return {};
}

Result<MemoryRef> SystemMemoryPool::acquire() {
  auto block = acquire_block();
  if (!block) return forward_error(block);
  return MemoryRef(std::move(*block));
}

Result<Ref<SystemMemory>> SystemMemoryPool::acquire_block() {
  std::unique_lock lock(mutex_);
  const auto may_go_on = [this] {
    return cancelled_ || free_ || options_.max_blocks == 0 || allocated_ < options_.max_blocks;
  };
  if (!may_go_on()) {
    ++waiting_;
    returned_.wait(lock, may_go_on);
    --waiting_;
  }
  if (cancelled_) return fail(ErrorCode::cancelled, "waiting for memory was cancelled");
  Block* block = free_;
  if (block) {
    free_ = std::exchange(block->next, nullptr);
    --available_;
  } else {
    block = make_block();
    if (!block) return out_of_memory(options_.block_size);
    ++allocated_;
  }
  lock.unlock();
  block->pool = Ref(this);
  return Ref<SystemMemory>(block);
}

void SystemMemoryPool::give_back(Block& block) noexcept {
  std::lock_guard lock(mutex_);
  block.next = std::exchange(free_, &block);
  ++available_;
  // Under the lock: once it is released, the waiting thread may drop the pool.
  if (waiting_) returned_.notify_one();
}

void SystemMemoryPool::cancel() {
  std::lock_guard lock(mutex_);
  cancelled_ = true;
  returned_.notify_all();
}

void SystemMemoryPool::resume() {
  std::lock_guard lock(mutex_);
  cancelled_ = false;
}

size_t SystemMemoryPool::allocated() const {
  std::lock_guard lock(mutex_);
  return allocated_;
}

size_t SystemMemoryPool::available() const {
  std::lock_guard lock(mutex_);
  return available_;
}

size_t SystemMemoryPool::waiting() const {
  std::lock_guard lock(mutex_);
  return waiting_;
}

}  // namespace sightglass
