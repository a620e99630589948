#include "sightglass/memory/system/system_memory.h"

#include <algorithm>
#include <limits>

#include "sightglass/memory/system/aligned_bytes.h"

namespace sightglass {
namespace {

class OwnedMemory final : public SystemMemory {
 public:
  OwnedMemory(AlignedBytes bytes, size_t size) : SystemMemory(bytes.get(), size), bytes_(std::move(bytes)) {}

 private:
  AlignedBytes bytes_;
};

}  // namespace

AlignedBytes allocate_aligned(size_t size) {
  constexpr size_t step = SystemMemory::alignment;
  if (size > std::numeric_limits<ptrdiff_t>::max() - step) return nullptr;
  const size_t rounded = (std::max<size_t>(size, 1) + step - 1) / step * step;
  return AlignedBytes(static_cast<std::byte*>(::operator new(rounded, std::align_val_t(step), std::nothrow)));
}

std::unexpected<Error> out_of_memory(size_t size) {
  return fail(ErrorCode::exhausted, "there is no memory for a block of {} bytes", size);
}

Result<std::byte*> SystemMemory::map(Access) {
  if (fence_) {
    if (auto finished = fence_->wait(); !finished) return forward_error(finished);
  }
  return data_;
}

Result<Ref<SystemMemory>> allocate_memory(size_t size) {
  AlignedBytes bytes = allocate_aligned(size);
  if (!bytes) return out_of_memory(size);
  return make_ref<OwnedMemory>(std::move(bytes), size);
}

Tensor tensor_in(MemoryRef memory, const TensorInfo& info, size_t offset) {
  return {.memory = std::move(memory),
          .offset = offset,
          .type = info.type,
          .layout = info.layout,
          .shape = info.shape,
          .strides = info.strides.empty() ? dense_strides(info.shape, info.type) : info.strides};
}

Result<Tensor> allocate_tensor(const TensorInfo& info) {
  if (!info.shape.fixed())
    return fail(ErrorCode::invalid_argument,
                "a tensor of shape {} cannot be allocated: its size is not known yet",
                info.shape.to_string());
  auto memory = allocate_memory(info.bytes());
  if (!memory) return forward_error(memory);
  return tensor_in(std::move(*memory), info);
}

}  // namespace sightglass
