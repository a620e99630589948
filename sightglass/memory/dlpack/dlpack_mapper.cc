#include "sightglass/memory/dlpack/dlpack_memory.h"
#include "sightglass/memory/mapper.h"

namespace sightglass {
namespace {

class DlpackMapper final : public Mapper {
 public:
  std::string_view name() const override { return "DLPack tensor over memory of the CPU"; }

  void edges(const Form& from, std::vector<Edge>& out) const override {
    if (from.memory == MemoryKind::system) out.push_back({.to = {MemoryKind::dlpack, from.pixels}});
    if (from.memory == MemoryKind::dlpack) out.push_back({.to = {MemoryKind::system, from.pixels}});
  }

  Status map(const Frame& frame, const MapTarget& target, Frame& result) const override {
    const bool wraps = target.form.memory == MemoryKind::dlpack;
    result.video = frame.video;
    result.tensors.clear();
    for (const Tensor& tensor : frame.tensors) {
      auto mapped = wraps ? as_dlpack_memory(tensor, target.access) : below_dlpack_memory(tensor);
      if (!mapped) return forward_error(mapped);
      result.tensors.push_back(*std::move(mapped));
    }
    return {};
  }
};

const MapperRegistration registration(std::make_unique<DlpackMapper>());

}  // namespace
}  // namespace sightglass
