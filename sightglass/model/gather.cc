#include "sightglass/model/gather.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

namespace sightglass {
namespace {

template <class From, class To>
To convert(From value) {
  if constexpr (std::is_same_v<From, float> && std::is_integral_v<To>) {
    // float(max) of the wide types is rounded up to a power of two, which is beyond the range; hence >= and
    // not >.
    using Limits = std::numeric_limits<To>;
    if (!(value > float(Limits::min()))) return std::isnan(value) ? To(0) : Limits::min();
    if (value >= float(Limits::max())) return Limits::max();
    return To(std::nearbyintf(value));
  } else if constexpr (std::is_same_v<From, uint8_t> && std::is_same_v<To, int8_t>) {
    return int8_t(std::min<uint8_t>(value, 127));
  } else {
    return To(value);
  }
}

template <class From, class To>
void convert_row(const std::byte* from, std::byte* to, size_t count) {
  const auto* source = reinterpret_cast<const From*>(from);
  auto* target = reinterpret_cast<To*>(to);
  size_t i = 0;
  for (; i + 16 <= count; i += 16)  // a fixed number at a time becomes SIMD
    for (size_t k = 0; k < 16; ++k) target[i + k] = convert<From, To>(source[i + k]);
  for (; i < count; ++i) target[i] = convert<From, To>(source[i]);
}

using RowFunction = void (*)(const std::byte* from, std::byte* to, size_t count);

template <class From>
RowFunction row_function(DataType to) {
  switch (to) {
    case DataType::u8:
      return convert_row<From, uint8_t>;
    case DataType::i8:
      return convert_row<From, int8_t>;
    case DataType::u16:
      return convert_row<From, uint16_t>;
    case DataType::i16:
      return convert_row<From, int16_t>;
    case DataType::i32:
      return convert_row<From, int32_t>;
    case DataType::i64:
      return convert_row<From, int64_t>;
    case DataType::f16:
      return convert_row<From, _Float16>;
    case DataType::bf16:
      return convert_row<From, __bf16>;
    case DataType::f32:
      return convert_row<From, float>;
    case DataType::f64:
      return convert_row<From, double>;
    default:
      return nullptr;
  }
}

// Null: the bytes stay as they are, or there is no way.
RowFunction row_function(DataType from, DataType to) {
  if (from == to) return nullptr;
  if (from == DataType::u8) return row_function<uint8_t>(to);
  if (from == DataType::f32) return row_function<float>(to);
  return nullptr;
}

}  // namespace

bool can_gather(DataType from, DataType to) { return from == to || row_function(from, to); }

void gather(const Tensor& tensor, const std::byte* data, DataType to, std::byte* target) {
  const RowFunction convert_run = row_function(tensor.type, to);
  const size_t size = size_of(tensor.type), target_size = size_of(to);
  // The innermost axes that lie one behind the other are one run.
  size_t inner = tensor.shape.rank();
  size_t run = 1;
  while (inner > 0 && (tensor.shape[inner - 1] == 1 || size_t(tensor.strides[inner - 1]) == run * size)) {
    --inner;
    run *= size_t(tensor.shape[inner]);
  }
  // What is left may step by anything, down to single elements (interleaved pixels read as planes).
  int64_t outer = 1;
  for (size_t axis = 0; axis < inner; ++axis) outer *= tensor.shape[axis];
  std::array<int64_t, Shape::max_rank> index{};
  for (int64_t done = 0; done < outer; ++done) {
    const std::byte* from = data;
    for (size_t axis = 0; axis < inner; ++axis) from += index[axis] * tensor.strides[axis];
    if (convert_run)
      convert_run(from, target, run);
    else
      std::memcpy(target, from, run * size);
    target += run * target_size;
    for (size_t axis = inner; axis-- > 0;) {
      if (++index[axis] < tensor.shape[axis]) break;
      index[axis] = 0;
    }
  }
}

}  // namespace sightglass
