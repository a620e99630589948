#include "sightglass/memory/mapping.h"

#include <algorithm>
#include <utility>

namespace sightglass {
namespace {

bool lies_within(const Tensor& tensor) {
  const size_t size = tensor.memory->size();
  const bool forward = std::ranges::all_of(tensor.strides, [](int64_t stride) { return stride >= 0; });
  return forward && tensor.shape.fixed() && tensor.strides.rank() == tensor.shape.rank() &&
         tensor.offset <= size && tensor.bytes() <= size - tensor.offset;
}

}  // namespace

Mapping::Mapping(Mapping&& other) noexcept
    : tensor_(std::move(other.tensor_)), access_(other.access_), data_(std::exchange(other.data_, nullptr)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this == &other) return *this;
  reset();
  tensor_ = std::move(other.tensor_);
  access_ = other.access_;
  data_ = std::exchange(other.data_, nullptr);
  return *this;
}

void Mapping::reset() noexcept {
  if (!data_) return;
  tensor_.memory->unmap(access_);
  tensor_.memory = nullptr;
  data_ = nullptr;
}

Result<Mapping> map(const Tensor& tensor, Access access) {
  if (!tensor.memory) return fail(ErrorCode::invalid_argument, "a tensor without memory cannot be mapped");
  if (!lies_within(tensor))
    return fail(ErrorCode::corrupt,
                "a tensor {} {} (strides {}) at byte {} does not lie within its memory of {} bytes",
                to_string(tensor.type), tensor.shape.to_string(), tensor.strides.to_string(), tensor.offset,
                tensor.memory->size());
  auto start = tensor.memory->map(access);
  if (!start) return forward_error(start);
  return Mapping(tensor, access, *start + tensor.offset);
}

}  // namespace sightglass
