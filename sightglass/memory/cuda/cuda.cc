#include "sightglass/memory/cuda/cuda.h"

#include <cstring>

#include "sightglass/core/frame.h"
#include "sightglass/memory/cuda/cuda_block.h"

namespace sightglass {
namespace {

class UserPool final : public MemoryPool {
 public:
  UserPool(Ref<CudaContext> context, size_t block_size, bool takes_deferred)
      : block_size_(block_size), pool_(make_ref<CudaPool>(std::move(context), block_size, takes_deferred)) {}
  size_t block_size() const override { return block_size_; }
  Result<MemoryRef> acquire() override {
    auto block = pool_->acquire();
    if (!block) return forward_error(block);
    return MemoryRef(std::move(*block));
  }

 private:
  size_t block_size_;
  Ref<CudaPool> pool_;
};

Result<CudaMemory*> memory_of(const Tensor& tensor) {
  auto* memory = dynamic_cast<CudaMemory*>(tensor.memory.get());
  if (memory) return memory;
  return fail(ErrorCode::invalid_argument, "the tensor does not lie in CUDA memory; map it there first");
}

}  // namespace

uint64_t cuda_pointer(const Tensor& tensor) {
  auto memory = memory_of(tensor);
  return memory ? (*memory)->address() + tensor.offset : 0;
}

Status cuda_wait(const Tensor& tensor, CUstream_st* stream) {
  auto memory = memory_of(tensor);
  if (!memory) return forward_error(memory);
  return (*memory)->wait_in(stream);
}

Status cuda_fill(const Tensor& tensor) {
  auto* block = dynamic_cast<CudaBlock*>(tensor.memory.get());
  if (!block) return fail(ErrorCode::invalid_argument, "the tensor does not lie in CUDA memory");
  return block->fill();
}

Status cuda_written(const Tensor& tensor, CUstream_st* stream) {
  auto memory = memory_of(tensor);
  if (!memory) return forward_error(memory);
  auto* context = dynamic_cast<const CudaContext*>((*memory)->context());
  if (!context) return fail(ErrorCode::invalid_argument, "the CUDA memory is of no known device");
  auto fence = CudaFence::record(Ref(const_cast<CudaContext*>(context)), stream);
  if (!fence) return forward_error(fence);
  (*memory)->set_fence(std::move(*fence));
  return {};
}

Status cuda_finish(const Tensor& tensor) {
  auto* block = dynamic_cast<CudaBlock*>(tensor.memory.get());
  if (!block) return fail(ErrorCode::invalid_argument, "the tensor does not lie in CUDA memory");
  if (Status filled = block->fill(); !filled) return filled;
  const Ref<Fence> fence = block->fence();
  return fence ? fence->wait() : Status();
}

Status cuda_copy(const Frame& from, const Frame& to) {
  if (from.tensors.size() != to.tensors.size())
    return fail(ErrorCode::invalid_argument, "{} tensors cannot be copied to {}", from.tensors.size(),
                to.tensors.size());
  Ref<CudaContext> device;
  Status status;
  for (size_t i = 0; i < from.tensors.size() && status; ++i) {
    auto* source = dynamic_cast<CudaBlock*>(from.tensors[i].memory.get());
    auto* target = dynamic_cast<CudaBlock*>(to.tensors[i].memory.get());
    if (!source || !target || source->device() != target->device() || (device && device != source->device()))
      return fail(ErrorCode::invalid_argument, "only tensors in CUDA memory of one device are copied there");
    device = source->device();
    for (CudaBlock* block : {source, target})
      if (status) status = block->wait_in(device->stream());
    if (status) status = enqueue_copy(*source, from.tensors[i], *target, to.tensors[i]);
  }
  if (!device) return status;
  // Also of those that came before one that failed.
  auto fence = CudaFence::record(device, device->stream());
  const Status done = fence ? (*fence)->wait() : Status(forward_error(fence));
  return status ? done : status;
}

Result<MemoryRef> allocate_cuda(const ContextRef& context, size_t size) {
  auto pool = make_cuda_pool(context, size);
  if (!pool) return forward_error(pool);
  return (*pool)->acquire();
}

Result<Ref<MemoryPool>> make_cuda_pool(const ContextRef& context, size_t block_size, bool takes_deferred) {
  auto device = CudaContext::of(context);
  if (!device) return forward_error(device);
  if (block_size == 0)
    return fail(ErrorCode::invalid_argument, "a block of CUDA memory has at least one byte");
  return Ref<MemoryPool>(make_ref<UserPool>(*device, block_size, takes_deferred));
}

Result<MemoryRef> wrap_cuda(const ContextRef& context, uint64_t address, size_t size, ReleaseMemory release,
                            IsWritable writable) {
  auto device = CudaContext::of(context);
  if (!device) return forward_error(device);
  if (address == 0) return fail(ErrorCode::invalid_argument, "a null address is no CUDA memory");
  return MemoryRef(make_ref<CudaBlock>(*device, address, size, CudaBlock::Owner::other, std::move(release),
                                       std::move(writable)));
}

void cuda_give_back(const Tensor& tensor) {
  if (auto* block = dynamic_cast<CudaBlock*>(tensor.memory.get())) block->give_back();
}

Result<CudaIpcHandle> export_cuda(const Memory& memory) {
  auto* block = dynamic_cast<CudaBlock*>(const_cast<Memory*>(&memory));  // it may have to be filled
  if (!block)
    return fail(ErrorCode::invalid_argument, "{} memory has no CUDA handle", to_string(memory.kind()));
  if (block->owner() == CudaBlock::Owner::other_process)
    return fail(ErrorCode::unsupported, "CUDA memory of another process cannot be handed on");
  if (Status filled = block->fill(); !filled) return forward_error(filled);
  if (const auto fence = block->fence())
    if (auto status = fence->wait(); !status) return forward_error(status);
  auto scope = CudaScope::enter(*block->device());
  if (!scope) return forward_error(scope);
  CUdeviceptr start = 0;
  size_t size = 0;
  CudaIpcBytes bytes{};
  auto status = cuda_status("the CUDA memory has no allocation",
                            (*scope)->address_range(&start, &size, block->address()));
  if (status) status = cuda_status("the CUDA memory cannot be shared", (*scope)->ipc_export(&bytes, start));
  if (!status) return forward_error(status);
  CudaIpcHandle handle{.offset = block->address() - start, .size = block->size()};
  static_assert(sizeof bytes == sizeof handle.handle);
  std::memcpy(handle.handle.data(), &bytes, sizeof bytes);
  return handle;
}

Result<MemoryRef> import_cuda(const ContextRef& context, const CudaIpcHandle& handle) {
  auto device = CudaContext::of(context);
  if (!device) return forward_error(device);
  auto scope = CudaScope::enter(**device);
  if (!scope) return forward_error(scope);
  CudaIpcBytes bytes;
  std::memcpy(&bytes, handle.handle.data(), sizeof bytes);
  CUdeviceptr start = 0;
  constexpr unsigned lazy_peer_access = 1;
  auto status =
      cuda_status("CUDA memory of another process cannot be opened (the one that made it cannot do so)",
                  (*scope)->ipc_open(&start, bytes, lazy_peer_access));
  if (!status) return forward_error(status);
  // The handle is of the whole allocation, which is what has to be closed.
  auto whole =
      make_ref<CudaBlock>(*device, start, handle.offset + handle.size, CudaBlock::Owner::other_process);
  if (handle.offset == 0) return MemoryRef(std::move(whole));
  return MemoryRef(make_ref<CudaBlock>(*device, start + handle.offset, handle.size, CudaBlock::Owner::other,
                                       [whole] noexcept { (void)whole; }));
}

}  // namespace sightglass
