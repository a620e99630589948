#include "sightglass/model/session_slots.h"

#include <utility>

namespace sightglass {

struct SlotPool::Slot final : SystemMemory {
  Slot(std::byte* data, size_t size, Block& of) : SystemMemory(data, size), block(of) {}
  // In the pool its block owns it; a slot in use keeps the pool, and so the block.
  void dispose() noexcept override {
    set_fence(nullptr);
    const Ref<SlotPool> home = std::move(pool);  // may be the last reference
    home->give_back(block);
  }

  Block& block;
  Ref<SlotPool> pool;  // while in use
};

struct SlotPool::Block {
  Ref<SystemMemory> memory;
  std::vector<std::unique_ptr<Slot>> slots;
  size_t next = 0;  // the first that was not given out
  size_t in_use = 0;
};

SlotPool::SlotPool(size_t slot_bytes, size_t slots) : slot_bytes_(slot_bytes), slots_(slots) {}
SlotPool::~SlotPool() = default;

Result<MemoryRef> SlotPool::acquire() {
  std::unique_lock lock(mutex_);
  if (!current_ && !empty_.empty()) {
    current_ = empty_.back();
    empty_.pop_back();
  }
  if (!current_) {
    auto memory = allocate_memory(slot_bytes_ * slots_);
    if (!memory) return forward_error(memory);
    Block& block = *blocks_.emplace_back(std::make_unique<Block>());
    for (size_t i = 0; i < slots_; ++i)
      block.slots.push_back(std::make_unique<Slot>((*memory)->data() + i * slot_bytes_, slot_bytes_, block));
    block.memory = *std::move(memory);
    empty_.reserve(blocks_.size());
    current_ = &block;
  }
  Slot& slot = *current_->slots[current_->next++];
  ++current_->in_use;
  if (current_->next == slots_) current_ = nullptr;
  lock.unlock();
  slot.pool = Ref(this);
  return MemoryRef(&slot);
}

void SlotPool::give_back(Block& block) noexcept {
  const std::lock_guard lock(mutex_);
  if (--block.in_use > 0) return;
  block.next = 0;  // also of the current one: the next batch begins at its start
  if (&block != current_) empty_.push_back(&block);
}

}  // namespace sightglass
