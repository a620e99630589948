#include "sightglass/memory/dlpack/dlpack_tensor.h"

#include <dlpack/dlpack.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <optional>

#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/dlpack/dlpack_memory.h"
#include "sightglass/memory/mapping.h"

namespace sightglass {
namespace {

struct KnownType {
  DataType ours;
  uint8_t code, bits;
};
constexpr KnownType known_types[] = {
    {DataType::u8, kDLUInt, 8},      {DataType::i8, kDLInt, 8},     {DataType::u16, kDLUInt, 16},
    {DataType::i16, kDLInt, 16},     {DataType::i32, kDLInt, 32},   {DataType::u32, kDLUInt, 32},
    {DataType::i64, kDLInt, 64},     {DataType::u64, kDLUInt, 64},  {DataType::f16, kDLFloat, 16},
    {DataType::bf16, kDLBfloat, 16}, {DataType::f32, kDLFloat, 32}, {DataType::f64, kDLFloat, 64},
    {DataType::boolean, kDLBool, 8},
};

std::optional<DataType> from_dlpack_type(DLDataType type) {
  for (const KnownType& known : known_types)
    if (known.code == type.code && known.bits == type.bits && type.lanes == 1) return known.ours;
  return {};
}

DLDataType to_dlpack_type(DataType type) {
  const auto* known = std::ranges::find(known_types, type, &KnownType::ours);
  return {.code = known->code, .bits = known->bits, .lanes = 1};
}

// ---- in

bool is_cpu(const DLTensor& tensor) {
  return tensor.device.device_type == kDLCPU || tensor.device.device_type == kDLCUDAHost;
}

// Holds what it came in until the last reference goes.
template <class Managed>
class ImportedMemory final : public Memory {
 public:
  ImportedMemory(Managed* managed, std::byte* data, size_t size, bool read_only)
      : Memory(MemoryKind::system, size), managed_(managed), data_(data), read_only_(read_only) {}
  ~ImportedMemory() override {
    if (managed_->deleter) managed_->deleter(managed_);
  }

  Result<std::byte*> map(Access access) override {
    if (read_only_ && (int(access) & int(Access::write)))
      return fail(ErrorCode::invalid_argument, "who lent this DLPack tensor does not let it be written to");
    return data_;
  }
  void unmap(Access) override {}

 private:
  Managed* managed_;
  std::byte* data_;
  bool read_only_;
};

// Everything about it but its memory.
Result<Tensor> describe(const DLTensor& from) {
  if (from.ndim < 0 || from.ndim > int(Shape::max_rank) || (from.ndim > 0 && !from.shape))
    return fail(ErrorCode::unsupported, "a DLPack tensor of {} axes; at most {} are supported", from.ndim,
                Shape::max_rank);
  const auto type = from_dlpack_type(from.dtype);
  if (!type)
    return fail(ErrorCode::unsupported, "DLPack type code {} of {} bits and {} lanes is not supported",
                from.dtype.code, from.dtype.bits, from.dtype.lanes);
  if (!is_cpu(from) && from.device.device_type != kDLCUDA)
    return fail(ErrorCode::unavailable,
                "the DLPack tensor lies on device type {}; memory of the CPU or of CUDA is wanted: bring it "
                "there first",
                int(from.device.device_type));
  Tensor tensor;
  tensor.type = *type;
  const int64_t element = int64_t(size_of(*type));
  constexpr int64_t most = std::numeric_limits<int64_t>::max() / 64;
  int64_t bytes = element;
  for (int axis = 0; axis < from.ndim; ++axis) {
    if (from.shape[axis] <= 0 || from.shape[axis] > most / bytes)
      return fail(ErrorCode::unsupported, "axis {} of the DLPack tensor has size {}", axis, from.shape[axis]);
    bytes *= from.shape[axis];
    tensor.shape.push_back(from.shape[axis]);
  }
  if (tensor.shape.empty()) tensor.shape = {1};
  tensor.strides = dense_strides(tensor.shape, *type);
  if (from.strides && from.ndim > 0) {
    int64_t end = element;
    for (int axis = 0; axis < from.ndim; ++axis) {
      const int64_t stride = from.strides[axis], steps = from.shape[axis] - 1;
      if (stride < 0)
        return fail(ErrorCode::unsupported,
                    "axis {} of the DLPack tensor runs backwards (stride {}); make it contiguous first", axis,
                    stride);
      if (stride > most / element || (steps > 0 && stride * element > (most - end) / steps))
        return fail(ErrorCode::corrupt, "stride {} of axis {} leads out of memory", stride, axis);
      tensor.strides[size_t(axis)] = stride * element;
      end += steps * stride * element;
    }
  }
  if (!from.data) return fail(ErrorCode::invalid_argument, "the DLPack tensor has no address");
  return tensor;
}

template <class Managed>
Result<Tensor> import(Managed* managed, bool read_only) {
  auto tensor = describe(managed->dl_tensor);
  if (!tensor) return tensor;
  auto* data = static_cast<std::byte*>(managed->dl_tensor.data) + managed->dl_tensor.byte_offset;
  if (is_cpu(managed->dl_tensor)) {
    tensor->memory = make_ref<ImportedMemory<Managed>>(managed, data, tensor->bytes(), read_only);
    return tensor;
  }
  auto context = cuda_context(managed->dl_tensor.device.device_id);
  if (!context) return forward_error(context);
  auto memory = wrap_cuda(*context, reinterpret_cast<uint64_t>(data), tensor->bytes(), [managed]() noexcept {
    if (managed->deleter) managed->deleter(managed);
  });
  if (!memory) return forward_error(memory);
  tensor->memory = *std::move(memory);
  return tensor;
}

// ---- out

// What a managed tensor points to; freed with it.
template <class Managed>
struct Exported {
  Managed managed{};
  Tensor tensor;                       // as it was
  Mapping mapping;                     // where it is memory of the CPU
  std::optional<CUstream_st*> stream;  // of whoever uses CUDA memory
  std::array<int64_t, Shape::max_rank> shape{}, strides{};
};

template <class Managed>
Result<std::unique_ptr<Exported<Managed>>> export_tensor(const Tensor& tensor, Access access,
                                                         std::optional<CUstream_st*> stream) {
  const int64_t element = int64_t(size_of(tensor.type));
  for (int64_t stride : tensor.strides)
    if (stride < 0 || stride % element != 0)
      return fail(ErrorCode::unsupported, "DLPack counts strides in elements; {} bytes are none of {}",
                  stride, to_string(tensor.type));
  auto made = std::make_unique<Exported<Managed>>();
  DLTensor& out = made->managed.dl_tensor;
  if (tensor.memory && tensor.memory->kind() == MemoryKind::cuda) {
    // The stream that whoever takes it works in, or waits for, comes after what is in flight.
    // Without one there is no order, but what has not been written yet is.
    if (auto waits = stream ? cuda_wait(tensor, *stream) : cuda_fill(tensor); !waits)
      return forward_error(waits);
    made->stream = stream;
    out.data = reinterpret_cast<void*>(cuda_pointer(tensor));
    out.device = {.device_type = kDLCUDA, .device_id = cuda_number(*tensor.memory->context())};
  } else {
    auto mapping = map(tensor, access);
    if (!mapping) return forward_error(mapping);
    out.data = mapping->data();  // where the first element is: many do not look at byte_offset
    out.device = {.device_type = kDLCPU, .device_id = 0};
    made->mapping = *std::move(mapping);
  }
  for (size_t axis = 0; axis < tensor.shape.rank(); ++axis) {
    made->shape[axis] = tensor.shape[axis];
    made->strides[axis] = tensor.strides[axis] / element;
  }
  out.ndim = int32_t(tensor.shape.rank());
  out.dtype = to_dlpack_type(tensor.type);
  out.shape = made->shape.data();
  out.strides = made->strides.data();
  made->tensor = tensor;
  made->managed.manager_ctx = made.get();
  made->managed.deleter = [](Managed* self) {
    const std::unique_ptr<Exported<Managed>> done(static_cast<Exported<Managed>*>(self->manager_ctx));
    const Tensor& lent = done->tensor;
    if (!done->stream || !lent.memory || lent.memory->kind() != MemoryKind::cuda) return;
    // Also behind who has written since; where the device is gone there is nothing to wait for.
    if (cuda_wait(lent, *done->stream)) (void)cuda_written(lent, *done->stream);
  };
  return made;
}

class DlpackMemory final : public Memory {
 public:
  explicit DlpackMemory(std::unique_ptr<Exported<DLManagedTensor>> exported)
      : Memory(MemoryKind::dlpack, exported->mapping.bytes()), exported_(std::move(exported)) {}

  const DLManagedTensor& managed() const { return exported_->managed; }
  const Tensor& below() const { return exported_->tensor; }
  Result<std::byte*> map(Access) override { return exported_->mapping.data(); }
  void unmap(Access) override {}

 private:
  std::unique_ptr<Exported<DLManagedTensor>> exported_;
};

const DlpackMemory* dlpack_memory(const Tensor& tensor) {
  return tensor.memory ? dynamic_cast<const DlpackMemory*>(tensor.memory.get()) : nullptr;
}

}  // namespace

Result<Tensor> from_dlpack(DLManagedTensor* managed) {
  if (!managed) return fail(ErrorCode::invalid_argument, "the DLPack tensor is null");
  return import(managed, false);
}

Result<Tensor> from_dlpack(DLManagedTensorVersioned* managed) {
  if (!managed) return fail(ErrorCode::invalid_argument, "the DLPack tensor is null");
  if (managed->version.major != DLPACK_MAJOR_VERSION)
    return fail(ErrorCode::unsupported, "the tensor speaks DLPack {}.{}; this is {}.{}",
                managed->version.major, managed->version.minor, DLPACK_MAJOR_VERSION, DLPACK_MINOR_VERSION);
  return import(managed, (managed->flags & DLPACK_FLAG_BITMASK_READ_ONLY) != 0);
}

Result<DLManagedTensor*> to_dlpack(const Tensor& tensor, Access access, std::optional<CUstream_st*> stream) {
  auto exported = export_tensor<DLManagedTensor>(tensor, access, stream);
  if (!exported) return forward_error(exported);
  return &exported->release()->managed;
}

Result<DLManagedTensorVersioned*> to_dlpack_versioned(const Tensor& tensor, Access access) {
  auto exported = export_tensor<DLManagedTensorVersioned>(tensor, access, nullptr);
  if (!exported) return forward_error(exported);
  DLManagedTensorVersioned& managed = exported->release()->managed;
  managed.version = {.major = DLPACK_MAJOR_VERSION, .minor = DLPACK_MINOR_VERSION};
  managed.flags = access == Access::read ? DLPACK_FLAG_BITMASK_READ_ONLY : 0;
  return &managed;
}

const DLManagedTensor* dlpack_tensor(const Tensor& tensor) {
  const auto* memory = dlpack_memory(tensor);
  return memory ? &memory->managed() : nullptr;
}

Result<Tensor> as_dlpack_memory(const Tensor& tensor, Access access) {
  auto exported = export_tensor<DLManagedTensor>(tensor, access, nullptr);
  if (!exported) return forward_error(exported);
  Tensor result = tensor;
  result.memory = make_ref<DlpackMemory>(*std::move(exported));
  result.offset = 0;
  return result;
}

Result<Tensor> below_dlpack_memory(const Tensor& tensor) {
  const auto* memory = dlpack_memory(tensor);
  if (!memory) return fail(ErrorCode::invalid_argument, "the tensor lies in no memory of kind dlpack");
  Tensor below = tensor;
  below.memory = memory->below().memory;
  below.offset += memory->below().offset;
  return below;
}

}  // namespace sightglass
