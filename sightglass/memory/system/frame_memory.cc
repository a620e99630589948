#include "sightglass/memory/system/frame_memory.h"

namespace sightglass {
namespace {

class HostView final : public Memory {
 public:
  explicit HostView(MemoryRef below) : Memory(MemoryKind::system, below->size()), below_(std::move(below)) {}

  const MemoryRef& below() const { return below_; }
  Result<std::byte*> map(Access access) override { return below_->map(access); }
  void unmap(Access access) override { below_->unmap(access); }

 private:
  MemoryRef below_;
};

}  // namespace

MemoryRef host_view(MemoryRef memory) { return make_ref<HostView>(std::move(memory)); }

MemoryRef below_host_view(const Memory& memory) {
  const auto* view = dynamic_cast<const HostView*>(&memory);
  return view ? view->below() : nullptr;
}

}  // namespace sightglass
