#include "sightglass/memory/mapper.h"
#include "sightglass/memory/shm/shm_memory.h"
#include "sightglass/memory/system/frame_memory.h"

namespace sightglass {
namespace {

class MapShm final : public Mapper {
 public:
  std::string_view name() const override { return "shared memory as memory of the CPU"; }

  void edges(const Form& from, std::vector<Edge>& out) const override {
    if (from.memory == MemoryKind::shm) out.push_back({.to = {MemoryKind::system, from.pixels}});
  }

  Status map(const Frame& frame, const MapTarget&, Frame& result) const override {
    return replace_memory(frame, result, [](const MemoryRef& memory) -> Result<MemoryRef> {
      if (memory->kind() != MemoryKind::shm)
        return fail(ErrorCode::invalid_argument, "one of the planes lies in {} memory, not in shared memory",
                    to_string(memory->kind()));
      return host_view(memory);
    });
  }
};

class CopyToShm final : public Mapper {
 public:
  std::string_view name() const override { return "copy to new shared memory"; }

  void edges(const Form& from, std::vector<Edge>& out) const override {
    if (from.memory == MemoryKind::system)
      out.push_back({.to = {MemoryKind::shm, from.pixels}, .cost_per_byte = 1.5});  // new pages are cleared
  }

  Status map(const Frame& frame, const MapTarget& target, Frame& result) const override {
    return copy_to_new_block(frame, target.access, result,
                             [](size_t size) { return create_shm(std::max<size_t>(size, 1)); });
  }
  Status write_back(const Frame& mapped, const Frame& frame) const override {
    return copy_content(mapped, frame);
  }
};

const MapperRegistration map_shm(std::make_unique<MapShm>());
const MapperRegistration copy_to_shm(std::make_unique<CopyToShm>());

}  // namespace
}  // namespace sightglass
