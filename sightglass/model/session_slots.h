// Places for a stream's samples, those of one batch behind each other: what one stream fills by itself, in
// order, is a batch that the engine reads where it lies. A block of them is used again when all its samples
// have come back.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "sightglass/memory/system/system_memory.h"

namespace sightglass {

// Thread-safe. Slots may outlive every other reference to the pool.
class SlotPool final : public MemoryPool {
 public:
  // Slots lie without gaps, so `slot_bytes` has to be a multiple of SystemMemory::alignment.
  SlotPool(size_t slot_bytes, size_t slots);
  ~SlotPool() override;

  size_t block_size() const override { return slot_bytes_; }
  Result<MemoryRef> acquire() override;

 private:
  struct Slot;
  struct Block;
  void give_back(Block& block) noexcept;

  const size_t slot_bytes_, slots_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Block>> blocks_;
  Block* current_ = nullptr;   // has slots that were not given out yet
  std::vector<Block*> empty_;  // none of whose slots is in use; the last was emptied last
};

}  // namespace sightglass
