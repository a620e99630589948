#include "sightglass/model/torch/torch_tensor.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "sightglass/memory/mapper.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/frame_memory.h"
#include "sightglass/model/torch/torch_types.h"

namespace sightglass {
namespace {

struct KnownType {
  DataType ours;
  c10::ScalarType theirs;
};
constexpr KnownType known_types[] = {
    {DataType::u8, c10::kByte},       {DataType::i8, c10::kChar},    {DataType::u16, c10::kUInt16},
    {DataType::i16, c10::kShort},     {DataType::i32, c10::kInt},    {DataType::u32, c10::kUInt32},
    {DataType::i64, c10::kLong},      {DataType::u64, c10::kUInt64}, {DataType::f16, c10::kHalf},
    {DataType::bf16, c10::kBFloat16}, {DataType::f32, c10::kFloat},  {DataType::f64, c10::kDouble},
    {DataType::boolean, c10::kBool},
};

class TorchMemory final : public Memory {
 public:
  TorchMemory(at::Tensor tensor, size_t size, Tensor below = {})
      : Memory(MemoryKind::torch, size), tensor_(std::move(tensor)), below_(std::move(below)) {}

  const at::Tensor& tensor() const { return tensor_; }
  const Tensor& below() const { return below_; }  // ours, where that is what it lies in
  Result<std::byte*> map(Access) override { return static_cast<std::byte*>(tensor_.data_ptr()); }
  void unmap(Access) override {}

 private:
  at::Tensor tensor_;
  Tensor below_;
};

const TorchMemory* as_torch(const Tensor& tensor) {
  return tensor.memory ? dynamic_cast<const TorchMemory*>(tensor.memory.get()) : nullptr;
}

// Our tensor as one of theirs, mapped as long as they hold it.
Result<Tensor> to_torch_memory(const Tensor& tensor, Access access) {
  const int64_t element = int64_t(size_of(tensor.type));
  std::vector<int64_t> sizes(tensor.shape.begin(), tensor.shape.end()), strides;
  for (int64_t stride : tensor.strides) {
    if (stride < 0 || stride % element != 0)
      return fail(ErrorCode::unsupported, "PyTorch counts strides in elements; {} bytes are none of {}",
                  stride, to_string(tensor.type));
    strides.push_back(stride / element);
  }
  auto mapping = map(tensor, access);
  if (!mapping) return forward_error(mapping);
  auto held = std::make_shared<Mapping>(*std::move(mapping));
  Tensor result = tensor;
  result.offset = 0;
  at::Tensor made = at::from_blob(
      held->data(), sizes, strides, [held](void*) mutable { held.reset(); },
      at::TensorOptions(to_torch(tensor.type)));
  result.memory = make_ref<TorchMemory>(std::move(made), held->bytes(), tensor);
  return result;
}

class TorchMapper final : public Mapper {
 public:
  std::string_view name() const override { return "torch tensor over memory of the CPU"; }

  void edges(const Form& from, std::vector<Edge>& out) const override {
    if (from.memory == MemoryKind::system) out.push_back({.to = {MemoryKind::torch, from.pixels}});
    if (from.memory == MemoryKind::torch) out.push_back({.to = {MemoryKind::system, from.pixels}});
  }

  Status map(const Frame& frame, const MapTarget& target, Frame& result) const override {
    if (target.form.memory == MemoryKind::system) return map_back(frame, result);
    result.video = frame.video;
    result.tensors.clear();
    for (const Tensor& tensor : frame.tensors) {
      auto made = to_torch_memory(tensor, target.access);
      if (!made) return forward_error(made);
      result.tensors.push_back(*std::move(made));
    }
    return {};
  }

 private:
  static Status map_back(const Frame& frame, Frame& result) {
    const auto view = [](const MemoryRef& memory) -> Result<MemoryRef> {
      if (memory->kind() != MemoryKind::torch)
        return fail(ErrorCode::invalid_argument,
                    "one of the tensors lies in {} memory, not in a torch tensor", to_string(memory->kind()));
      return host_view(memory);
    };
    if (auto status = replace_memory(frame, result, view); !status) return status;
    for (size_t i = 0; i < frame.tensors.size(); ++i) {
      const auto* torch = as_torch(frame.tensors[i]);
      if (!torch || !torch->below()) continue;
      result.tensors[i].memory = torch->below().memory;
      result.tensors[i].offset += torch->below().offset;
    }
    return {};
  }
};

const MapperRegistration registration(std::make_unique<TorchMapper>());

}  // namespace

c10::ScalarType to_torch(DataType type) {
  return std::ranges::find(known_types, type, &KnownType::ours)->theirs;
}

std::optional<DataType> from_torch(c10::ScalarType type) {
  const auto* known = std::ranges::find(known_types, type, &KnownType::theirs);
  return known == std::end(known_types) ? std::nullopt : std::optional(known->ours);
}

Result<Tensor> from_torch(const at::Tensor& tensor) {
  if (!tensor.defined()) return fail(ErrorCode::invalid_argument, "the torch tensor is undefined");
  if (tensor.layout() != at::kStrided)
    return fail(ErrorCode::unsupported, "a torch tensor that is sparse has no bytes to share; make it dense");
  if (!tensor.device().is_cpu())
    return fail(ErrorCode::unavailable, "the torch tensor lies on {}; bring it to the CPU first",
                tensor.device().str());
  const auto type = from_torch(tensor.scalar_type());
  if (!type)
    return fail(ErrorCode::unsupported, "torch tensors of {} are not supported",
                c10::toString(tensor.scalar_type()));
  if (tensor.dim() > int64_t(Shape::max_rank))
    return fail(ErrorCode::unsupported, "a torch tensor of {} axes; at most {} are supported", tensor.dim(),
                Shape::max_rank);
  if (tensor.numel() == 0) return fail(ErrorCode::unsupported, "the torch tensor has no elements");
  if (tensor.is_conj() || tensor.is_neg())
    return fail(ErrorCode::unsupported, "the torch tensor is a lazy negation; resolve it first");
  Tensor result{.type = *type};
  for (int64_t axis = 0; axis < tensor.dim(); ++axis) {
    result.shape.push_back(tensor.size(axis));
    result.strides.push_back(tensor.stride(axis) * int64_t(size_of(*type)));
  }
  if (result.shape.empty()) result.shape = {1}, result.strides = {int64_t(size_of(*type))};
  result.memory = make_ref<TorchMemory>(tensor, result.bytes());
  return result;
}

at::Tensor torch_tensor(const Tensor& tensor) {
  const auto* torch = as_torch(tensor);
  if (!torch) return {};
  // Who holds the result holds the memory: ours through the mapping, theirs by itself.
  return torch->tensor();
}

}  // namespace sightglass
