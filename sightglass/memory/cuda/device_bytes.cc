#include "sightglass/memory/cuda/device_bytes.h"

#include "sightglass/memory/cuda/cuda_block.h"

namespace sightglass {

Result<Tensor> device_tensor(const Tensor& tensor) {
  Tensor there = tensor;
  if (!tensor.memory || tensor.memory->kind() == MemoryKind::cuda) return there;
  there.memory = nullptr;
  auto* bytes = dynamic_cast<DeviceBytes*>(tensor.memory.get());
  if (!bytes) return there;
  auto place = bytes->on_device();
  if (!place) return forward_error(place);
  there.memory = std::move(place->block);
  there.offset += place->offset;
  return there;
}

Result<MemoryRef> download_cuda(const Memory& memory, size_t offset, size_t bytes) {
  auto* block = const_cast<CudaBlock*>(dynamic_cast<const CudaBlock*>(&memory));
  if (!block) return fail(ErrorCode::unsupported, "the CUDA memory is of no known device");
  const Ref<CudaContext>& device = block->device();
  auto pinned = device->pinned(bytes)->acquire();
  if (!pinned) return forward_error(pinned);
  Tensor from{.offset = offset, .type = DataType::u8, .shape = {int64_t(bytes)}, .strides = {1}};
  Tensor to = from;
  to.offset = 0;
  Status status = block->wait_in(device->stream());
  if (status) status = enqueue_copy(*block, from, (*pinned)->data(), to, false);
  if (!status) return forward_error(status);
  auto fence = CudaFence::record(device, device->stream());
  if (!fence) return forward_error(fence);
  (*pinned)->set_fence(*fence);  // not used again before, should the wait fail
  if (Status done = (*fence)->wait(); !done) return forward_error(done);
  return MemoryRef(*std::move(pinned));
}

}  // namespace sightglass
