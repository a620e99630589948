// Blocks of one size that come back by themselves with their last reference. Once as many exist as are in use
// at a time, acquiring one is a short lock and no allocation; the block that came back last is given out
// first, since it is still in the cache.
//
//   auto pool = make_ref<SystemMemoryPool>(SystemMemoryPool::Options{.block_size = bytes, .max_blocks = 4});
//   auto block = pool->acquire_block();  // waits while all four are in use
//
// Thread-safe. Blocks may outlive every other reference to the pool; its memory is freed when the last of
// both is gone.
#pragma once

#include <condition_variable>
#include <mutex>

#include "sightglass/memory/system/system_memory.h"

namespace sightglass {

class SystemMemoryPool final : public MemoryPool {
 public:
  struct Options {
    size_t block_size = 0;  // bytes
    size_t max_blocks = 0;  // at that many acquire() waits for one to come back; 0: no limit
  };
  explicit SystemMemoryPool(Options options) : options_(options) {}
  ~SystemMemoryPool() override;

  // Makes blocks ahead, `count` in all but not beyond the limit, so that even the first frames do not
  // allocate.
  Status reserve(size_t count);

  size_t block_size() const override { return options_.block_size; }
  // A block without a fence, its bytes as they were left. Fails when memory has run out, and with `cancelled`
  // after cancel().
  Result<MemoryRef> acquire() override;
  Result<Ref<SystemMemory>> acquire_block();  // the same, for producers that set a fence

  // Makes acquire() fail at once, also where it waits already, until resume(). Blocks in use are not touched.
  void cancel();
  void resume();

  size_t allocated() const;  // blocks that exist
  size_t available() const;  // of these, not in use
  size_t waiting() const;    // threads in acquire() that wait for a block

 private:
  class Block;
  Block* make_block() const;  // null when memory has run out
  void give_back(Block& block) noexcept;

  const Options options_;
  mutable std::mutex mutex_;
  std::condition_variable returned_;
  Block* free_ = nullptr;  // the last that came back, linked to those before
  size_t allocated_ = 0;
  size_t available_ = 0;
  size_t waiting_ = 0;
  bool cancelled_ = false;
};

}  // namespace sightglass
