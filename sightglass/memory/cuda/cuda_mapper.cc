// Uploads and downloads.
#include "sightglass/memory/cuda/cuda_block.h"
#include "sightglass/memory/mapper.h"
#include "sightglass/memory/tensor_rows.h"

namespace sightglass {
namespace {

constexpr size_t row_alignment = 256;  // what kernels and textures read best
// Relative to a copy within the memory of the CPU: over PCI Express.
constexpr double cost_of_bus = 2;

Result<CudaBlock*> block_of(const Tensor& tensor) {
  auto* block = dynamic_cast<CudaBlock*>(tensor.memory.get());
  if (block) return block;
  return fail(ErrorCode::unsupported, "the CUDA memory is of no known device");
}

// In order, behind what is in flight on `to`. The memory of the CPU may change or go when it returns.
Status upload(const Tensor& from, const Tensor& to) {
  auto block = block_of(to);
  if (!block) return forward_error(block);
  auto host = from.memory->map(Access::read);
  if (!host) return forward_error(host);
  const Ref<CudaContext>& device = (*block)->device();
  auto status = (*block)->wait_in(device->stream());
  if (status) status = enqueue_copy(**block, to, *host + from.offset, from, true);
  if (status) {
    auto fence = CudaFence::record(device, device->stream());
    status = fence ? (*fence)->wait() : Status(forward_error(fence));
    if (status) (*block)->set_fence(std::move(*fence));
  }
  from.memory->unmap(Access::read);
  return status;
}

class CudaMapper final : public Mapper {
 public:
  std::string_view name() const override { return "CUDA upload and download"; }
  Status available() const override {
    auto device = CudaContext::of(nullptr);
    return device ? Status() : Status(forward_error(device));
  }
  void edges(const Form& from, std::vector<Edge>& out) const override {
    if (from.memory == MemoryKind::system)
      out.push_back({.to = {MemoryKind::cuda, from.pixels}, .cost_per_byte = cost_of_bus});
    if (from.memory == MemoryKind::cuda)
      out.push_back({.to = {MemoryKind::system, from.pixels}, .cost_per_byte = cost_of_bus});
  }

  Status map(const Frame& frame, const MapTarget& target, Frame& result) const override {
    const size_t bytes = lay_out(frame, row_alignment, result);
    return target.form.memory == MemoryKind::cuda ? up(frame, target, bytes, result)
                                                  : down(frame, target, bytes, result);
  }

  Status write_back(const Frame& mapped, const Frame& frame) const override {
    for (size_t i = 0; i < frame.tensors.size(); ++i) {
      const bool was_up = mapped.tensors[i].memory->kind() == MemoryKind::cuda;
      auto status = was_up ? download(mapped.tensors[i], frame.tensors[i])
                           : upload(mapped.tensors[i], frame.tensors[i]);
      if (!status) return status;
    }
    return {};
  }

 private:
  static Status up(const Frame& frame, const MapTarget& target, size_t bytes, Frame& result) {
    auto device = CudaContext::of(target.context);
    if (!device) return forward_error(device);
    auto block = (*device)->pool(bytes)->acquire();
    if (!block) return forward_error(block);
    for (size_t i = 0; i < frame.tensors.size(); ++i) {
      result.tensors[i].memory = *block;
      if (target.access == Access::write) continue;
      if (auto status = upload(frame.tensors[i], result.tensors[i]); !status) return status;
    }
    return {};
  }

  // To pinned memory, behind a fence: only who maps it for the CPU waits.
  static Status down(const Frame& frame, const MapTarget& target, size_t bytes, Frame& result) {
    if (frame.tensors.empty()) return {};
    auto first = block_of(frame.tensors[0]);
    if (!first) return forward_error(first);
    const Ref<CudaContext> device = (*first)->device();
    auto pinned = device->pinned(bytes)->acquire();
    if (!pinned) return forward_error(pinned);
    for (size_t i = 0; i < frame.tensors.size(); ++i) {
      Tensor& to = result.tensors[i];
      to.memory = *pinned;
      if (target.access == Access::write) continue;
      auto block = block_of(frame.tensors[i]);
      if (!block) return forward_error(block);
      if ((*block)->device() != device)
        return fail(ErrorCode::unsupported, "the planes of one frame lie on two CUDA devices");
      auto status = (*block)->wait_in(device->stream());
      if (status) status = enqueue_copy(**block, frame.tensors[i], (*pinned)->data() + to.offset, to, false);
      if (!status) return status;
    }
    if (target.access == Access::write) return {};
    auto fence = CudaFence::record(device, device->stream());
    if (!fence) return forward_error(fence);
    (*pinned)->set_fence(std::move(*fence));
    (*pinned)->keep(frame.tensors);
    return {};
  }

  // Into memory of anybody's, at once.
  static Status download(const Tensor& from, const Tensor& to) {
    auto block = block_of(from);
    if (!block) return forward_error(block);
    auto host = to.memory->map(Access::write);
    if (!host) return forward_error(host);
    const Ref<CudaContext>& device = (*block)->device();
    auto status = (*block)->wait_in(device->stream());
    if (status) status = enqueue_copy(**block, from, *host + to.offset, to, false);
    if (status) {
      auto fence = CudaFence::record(device, device->stream());
      status = fence ? (*fence)->wait() : Status(forward_error(fence));
    }
    to.memory->unmap(Access::write);
    return status;
  }
};

const MapperRegistration registration(std::make_unique<CudaMapper>());

}  // namespace
}  // namespace sightglass
