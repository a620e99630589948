#include "sightglass/memory/tensor_rows.h"

#include <algorithm>

namespace sightglass {
namespace {

size_t round_up(size_t size, size_t multiple) { return (size + multiple - 1) / multiple * multiple; }

}  // namespace

Result<TensorRows> rows_of(const Tensor& tensor) {
  if (!tensor.shape.fixed() || tensor.strides.rank() != tensor.shape.rank())
    return fail(ErrorCode::invalid_argument, "a tensor of shape {} and strides {} cannot be copied",
                tensor.shape.to_string(), tensor.strides.to_string());
  struct Axis {
    size_t count, stride;
  };
  Axis outer[2] = {{1, 0}, {1, 0}};
  size_t outer_count = 0;
  size_t run = size_of(tensor.type);
  for (size_t axis = tensor.shape.rank(); axis-- > 0;) {
    const int64_t count = tensor.shape[axis], stride = tensor.strides[axis];
    if (count == 0) return TensorRows{};
    if (count == 1) continue;
    if (stride < 0)
      return fail(ErrorCode::unsupported,
                  "a tensor with the negative strides {} (it is flipped) cannot be mapped; "
                  "copy it first",
                  tensor.strides.to_string());
    // An axis that goes on where the one within ends is no axis of its own.
    if (outer_count == 0 && size_t(stride) == run) {
      run *= size_t(count);
    } else if (outer_count > 0 &&
               size_t(stride) == outer[outer_count - 1].count * outer[outer_count - 1].stride) {
      outer[outer_count - 1].count *= size_t(count);
    } else if (outer_count < 2) {
      outer[outer_count++] = {size_t(count), size_t(stride)};
    } else {
      return fail(ErrorCode::unsupported,
                  "a tensor of shape {} with gaps along three axes (strides {}) cannot be "
                  "copied to a device; copy it to a dense one first",
                  tensor.shape.to_string(), tensor.strides.to_string());
    }
  }
  TensorRows rows{.row_bytes = run,
                  .rows = outer[0].count,
                  .pitch = outer[0].stride,
                  .slices = outer[1].count,
                  .slice_pitch = outer[1].stride};
  if (outer_count < 1) rows.pitch = run;
  if (outer_count < 2) rows.slice_pitch = rows.pitch * rows.rows;
  if (rows.pitch < run || rows.slice_pitch < rows.pitch)
    return fail(ErrorCode::unsupported,
                "a tensor of shape {} whose elements overlap or are transposed (strides {}) "
                "cannot be copied to a device; copy it to a dense one first",
                tensor.shape.to_string(), tensor.strides.to_string());
  return rows;
}

size_t lay_out(const Frame& frame, size_t alignment, Frame& result) {
  size_t bytes = 0;
  result.video = frame.video;
  result.tensors.resize(frame.tensors.size());
  for (size_t i = 0; i < frame.tensors.size(); ++i) {
    const Tensor& from = frame.tensors[i];
    Tensor& to = result.tensors[i];
    to.type = from.type;
    to.layout = from.layout;
    to.shape = from.shape;
    to.strides = dense_strides(from.shape, from.type);
    to.offset = bytes;
    if (frame.video && to.shape.rank() == 2)
      to.strides[0] = int64_t(round_up(size_t(to.strides[0]), alignment));
    const size_t extent = to.shape.elements() > 0 && frame.video && to.shape.rank() == 2
                              ? size_t(to.shape[0] * to.strides[0])
                              : to.bytes();
    bytes = round_up(bytes + extent, std::max<size_t>(alignment, 1));
  }
  return std::max<size_t>(bytes, 1);
}

}  // namespace sightglass
