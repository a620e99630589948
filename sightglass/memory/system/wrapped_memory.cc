#include "sightglass/memory/system/wrapped_memory.h"

#include <utility>

namespace sightglass {

class WrappedMemory final : public SystemMemory {
 public:
  WrappedMemory() : SystemMemory(nullptr, 0) {}

  void hold(std::byte* data, size_t size, ReleaseMemory release, Ref<WrapPool> pool) {
    point_to(data);
    hold_other_bytes(size);
    release_ = std::move(release);
    pool_ = std::move(pool);
  }

  WrappedMemory* next = nullptr;

 private:
  void dispose() noexcept override {
    set_fence(nullptr);
    if (release_) std::exchange(release_, nullptr)();
    const Ref<WrapPool> home =
        std::move(pool_);  // may be the pool's last reference, so that it goes after the wrapper is back
    if (!home) {
      delete this;
      return;
    }
    std::lock_guard lock(home->mutex_);
    next = std::exchange(home->free_, this);
  }

  ReleaseMemory release_;
  Ref<WrapPool> pool_;  // null in the pool, and for wrap_memory()
};

WrapPool::~WrapPool() {
  while (free_) {
    const Ref<WrappedMemory> last(std::exchange(free_, free_->next));  // without a pool it deletes itself
  }
}

Ref<SystemMemory> WrapPool::wrap(std::byte* data, size_t size, ReleaseMemory release) {
  WrappedMemory* wrapper = nullptr;
  {
    std::lock_guard lock(mutex_);
    wrapper = free_;
    if (wrapper) free_ = std::exchange(wrapper->next, nullptr);
  }
  if (!wrapper) wrapper = new WrappedMemory;
  wrapper->hold(data, size, std::move(release), Ref(this));
  return Ref<SystemMemory>(wrapper);
}

Ref<SystemMemory> wrap_memory(std::byte* data, size_t size, ReleaseMemory release) {
  auto wrapper = make_ref<WrappedMemory>();
  wrapper->hold(data, size, std::move(release), nullptr);
  return wrapper;
}

}  // namespace sightglass
