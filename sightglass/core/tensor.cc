#include "sightglass/core/tensor.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <limits>
#include <utility>

namespace sightglass {
namespace {

struct DataTypeInfo {
  DataType type;
  std::string_view name;
  uint8_t bytes;
};
constexpr DataTypeInfo data_types[] = {
    {DataType::u8, "uint8", 1},      {DataType::i8, "int8", 1},     {DataType::u16, "uint16", 2},
    {DataType::i16, "int16", 2},     {DataType::i32, "int32", 4},   {DataType::u32, "uint32", 4},
    {DataType::i64, "int64", 8},     {DataType::u64, "uint64", 8},  {DataType::f16, "float16", 2},
    {DataType::bf16, "bfloat16", 2}, {DataType::f32, "float32", 4}, {DataType::f64, "float64", 8},
    {DataType::boolean, "bool", 1},
};
static_assert([] {
  for (size_t i = 0; i < std::size(data_types); ++i)
    if (std::to_underlying(data_types[i].type) != i) return false;
  return true;
}());

constexpr std::string_view layout_names[] = {"", "NCHW", "NHWC", "CHW", "HWC", "HW", "NC"};

// Sizes come from files, so that products may overflow: the largest number then, which no memory has.
int64_t saturating_multiply(int64_t a, int64_t b) {
  int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? std::numeric_limits<int64_t>::max() : product;
}
int64_t saturating_add(int64_t a, int64_t b) {
  int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<int64_t>::max() : sum;
}

// From the first to behind the last element; 0 when there is none or an axis is free.
size_t extent(DataType type, const Shape& shape, const Shape& strides) {
  const int64_t count = shape.elements();
  if (count <= 0) return 0;
  if (strides.empty()) return size_t(saturating_multiply(count, int64_t(size_of(type))));
  int64_t last = int64_t(size_of(type));
  for (size_t axis = 0; axis < shape.rank(); ++axis)
    last = saturating_add(last, saturating_multiply(shape[axis] - 1, strides[axis]));
  return size_t(std::max<int64_t>(last, 0));
}

// An axis of one element is never stepped along, so its stride does not matter.
bool is_dense(DataType type, const Shape& shape, const Shape& strides) {
  if (strides.empty()) return true;
  if (strides.rank() != shape.rank()) return false;
  const Shape wanted = dense_strides(shape, type);
  for (size_t axis = 0; axis < shape.rank(); ++axis)
    if (shape[axis] != 1 && strides[axis] != wanted[axis]) return false;
  return true;
}

}  // namespace

size_t size_of(DataType type) { return data_types[std::to_underlying(type)].bytes; }
std::string_view to_string(DataType type) { return data_types[std::to_underlying(type)].name; }

std::optional<DataType> data_type(std::string_view name) {
  for (const DataTypeInfo& info : data_types)
    if (info.name == name) return info.type;
  return {};
}

std::string_view to_string(Layout layout) { return layout_names[std::to_underlying(layout)]; }

std::optional<Layout> layout(std::string_view name) {
  for (size_t i = 0; i < std::size(layout_names); ++i)
    if (layout_names[i] == name) return Layout(i);
  return {};
}

Shape::Shape(std::span<const int64_t> dims) {
  for (int64_t dim : dims) push_back(dim);
}

void Shape::push_back(int64_t dim) {
  assert(rank_ < max_rank);
  if (rank_ < max_rank) dims_[rank_++] = dim;
}

int64_t Shape::elements() const {
  if (!fixed()) return -1;
  // Zero first: it makes the whole empty, however large the others are.
  if (std::ranges::find(*this, 0) != end()) return 0;
  int64_t product = 1;
  for (int64_t dim : *this) product = saturating_multiply(product, dim);
  return product;
}

bool Shape::fixed() const {
  return std::ranges::all_of(*this, [](int64_t dim) { return dim >= 0; });
}

bool Shape::operator==(const Shape& other) const { return std::ranges::equal(*this, other); }

std::string Shape::to_dimensions() const {
  std::string text;
  for (size_t axis = rank_; axis-- > 0;) {
    if (!text.empty()) text += ':';
    text += std::to_string(std::max<int64_t>(dims_[axis], 0));
  }
  return text;
}

std::string Shape::to_string() const {
  std::string text;
  for (int64_t dim : *this) {
    if (!text.empty()) text += 'x';
    text += dim < 0 ? "?" : std::to_string(dim);
  }
  return text;
}

std::optional<Shape> shape_from_dimensions(std::string_view text) {
  std::array<int64_t, Shape::max_rank> dims{};
  size_t rank = 0;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    int64_t dim = 0;
    const auto [behind, error] = std::from_chars(at, end, dim);
    if (error != std::errc{} || dim < 0 || rank == Shape::max_rank) return {};
    dims[rank++] = dim == 0 ? -1 : dim;
    if (behind == end) break;
    if (*behind != ':') return {};
    at = behind + 1;
  }
  std::reverse(dims.begin(), dims.begin() + ptrdiff_t(rank));
  return Shape(std::span(dims.data(), rank));
}

Shape dense_strides(const Shape& shape, DataType type) {
  Shape strides = shape;
  int64_t stride = int64_t(size_of(type));
  for (size_t axis = shape.rank(); axis-- > 0;) {
    strides[axis] = stride;
    if (stride < 0 || shape[axis] < 0)
      stride = -1;
    else
      stride = saturating_multiply(stride, shape[axis]);
  }
  return strides;
}

size_t TensorInfo::bytes() const { return extent(type, shape, strides); }
bool TensorInfo::dense() const { return is_dense(type, shape, strides); }
size_t Tensor::bytes() const { return extent(type, shape, strides); }
bool Tensor::dense() const { return is_dense(type, shape, strides); }

}  // namespace sightglass
