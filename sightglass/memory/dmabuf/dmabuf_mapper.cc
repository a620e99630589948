#include "sightglass/memory/dmabuf/dmabuf_memory.h"
#include "sightglass/memory/mapper.h"
#include "sightglass/memory/system/frame_memory.h"

namespace sightglass {
namespace {

class MapDmabuf final : public Mapper {
 public:
  std::string_view name() const override { return "DMA-BUF mapped for the CPU"; }

  void edges(const Form& from, std::vector<Edge>& out) const override {
    if (from.memory == MemoryKind::dmabuf) out.push_back({.to = {MemoryKind::system, from.pixels}});
  }

  Status map(const Frame& frame, const MapTarget&, Frame& result) const override {
    return replace_memory(frame, result, [](const MemoryRef& memory) -> Result<MemoryRef> {
      if (memory->kind() != MemoryKind::dmabuf)
        return fail(ErrorCode::invalid_argument, "one of the planes lies in {} memory, not in a DMA-BUF",
                    to_string(memory->kind()));
      return host_view(memory);
    });
  }
};

class CopyToDmabuf final : public Mapper {
 public:
  std::string_view name() const override { return "copy to a new DMA-BUF"; }

  void edges(const Form& from, std::vector<Edge>& out) const override {
    if (from.memory == MemoryKind::system)
      out.push_back(
          {.to = {MemoryKind::dmabuf, from.pixels}, .cost_per_byte = 1.5});  // new pages are cleared
  }

  Status map(const Frame& frame, const MapTarget& target, Frame& result) const override {
    return copy_to_new_block(frame, target.access, result, allocate_dmabuf);
  }
  Status write_back(const Frame& mapped, const Frame& frame) const override {
    return copy_content(mapped, frame);
  }
};

const MapperRegistration map_dmabuf(std::make_unique<MapDmabuf>());
const MapperRegistration copy_to_dmabuf(std::make_unique<CopyToDmabuf>());

}  // namespace
}  // namespace sightglass
