// A tensor: type, shape, strides and the memory they lie in. A small immutable value; copying it shares the
// memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "sightglass/core/memory.h"

namespace sightglass {

enum class DataType : uint8_t { u8, i8, u16, i16, i32, u32, i64, u64, f16, bf16, f32, f64, boolean };
size_t size_of(DataType type);              // bytes per element
std::string_view to_string(DataType type);  // the name used in caps: "uint8", "float32", …
std::optional<DataType> data_type(std::string_view name);

// Meaning of the axes, outermost first; any: unknown.
enum class Layout : uint8_t { any, nchw, nhwc, chw, hwc, hw, nc };
std::string_view to_string(Layout layout);  // "NCHW", …; "" for any
std::optional<Layout> layout(std::string_view name);

// Up to eight numbers without allocation: sizes (outermost first; -1 where free) or strides in bytes.
class Shape {
 public:
  static constexpr size_t max_rank = 8;
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const int64_t> dims);

  size_t rank() const { return rank_; }
  bool empty() const { return rank_ == 0; }
  int64_t operator[](size_t axis) const { return dims_[axis]; }
  int64_t& operator[](size_t axis) { return dims_[axis]; }
  int64_t back() const { return dims_[rank_ - 1]; }
  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }
  void push_back(int64_t dim);  // the rank stays at most max_rank: check first what comes from a file
  int64_t elements() const;     // product; 1 for rank 0; -1 when an axis is free; capped at INT64_MAX
  bool fixed() const;           // no free axis
  bool operator==(const Shape& other) const;
  // The caps notation: innermost first, separated by ':', "416:416:3:1". Free axes are written 0.
  std::string to_dimensions() const;
  // The usual notation: "1x3x416x416", free axes "?".
  std::string to_string() const;

 private:
  std::array<int64_t, max_rank> dims_{};
  uint8_t rank_ = 0;
};
std::optional<Shape> shape_from_dimensions(std::string_view text);  // reverse of to_dimensions
Shape dense_strides(const Shape& shape,
                    DataType type);  // bytes, row-major without gaps; -1 outside of a free axis

// Everything about a tensor but its memory.
struct TensorInfo {
  DataType type = DataType::f32;
  Shape shape;
  Shape strides;  // bytes; empty means dense
  Layout layout = Layout::any;
  std::string name;  // name of the model's input or output; may be empty

  size_t bytes()
      const;  // from the first to behind the last element; 0 when an axis is free; capped on overflow
  bool dense() const;
};

struct Tensor {
  MemoryRef memory;
  size_t offset = 0;  // bytes from the start of the memory
  DataType type = DataType::u8;
  Layout layout = Layout::any;
  Shape shape;
  Shape strides;  // bytes, never empty

  size_t bytes() const;  // from the first to behind the last element
  bool dense() const;
  explicit operator bool() const { return bool(memory); }
};

}  // namespace sightglass
