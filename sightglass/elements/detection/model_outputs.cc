#include "sightglass/elements/detection/model_outputs.h"

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <format>
#include <stdfloat>
#include <type_traits>

namespace sightglass {
namespace {

// clang has the types, but not the standard's names for them.
#ifdef __STDCPP_FLOAT16_T__
using Half = std::float16_t;
using BrainFloat = std::bfloat16_t;
#else
using Half = _Float16;
using BrainFloat = __bf16;
#endif

template <class From, class T>
T number(const std::byte* at) {
  From value;  // strided tensors need not be aligned
  std::memcpy(&value, at, sizeof(value));
  return T(value);
}

template <class From, class T>
void convert_from(const Mapping& mapping, std::vector<T>& out) {
  const Shape &shape = mapping.shape(), &strides = mapping.strides();
  out.resize(size_t(shape.elements()));
  if (out.empty()) return;
  const int64_t inner = shape.rank() ? shape.back() : 1;
  const int64_t step = shape.rank() ? strides.back() : 0;
  int64_t index[Shape::max_rank] = {};
  const std::byte* row = mapping.data();
  for (T* to = out.data();;) {
    for (int64_t i = 0; i < inner; ++i) *to++ = number<From, T>(row + i * step);
    // The next row: counts like an odometer, without the innermost axis.
    int64_t axis = int64_t(shape.rank()) - 2;
    for (; axis >= 0; --axis) {
      row += strides[size_t(axis)];
      if (++index[axis] < shape[size_t(axis)]) break;
      row -= index[axis] * strides[size_t(axis)];
      index[axis] = 0;
    }
    if (axis < 0) return;
  }
}

template <class T>
void convert(const Mapping& mapping, std::vector<T>& out) {
  switch (mapping.type()) {
    case DataType::u8:
      return convert_from<uint8_t>(mapping, out);
    case DataType::i8:
      return convert_from<int8_t>(mapping, out);
    case DataType::u16:
      return convert_from<uint16_t>(mapping, out);
    case DataType::i16:
      return convert_from<int16_t>(mapping, out);
    case DataType::i32:
      return convert_from<int32_t>(mapping, out);
    case DataType::u32:
      return convert_from<uint32_t>(mapping, out);
    case DataType::i64:
      return convert_from<int64_t>(mapping, out);
    case DataType::u64:
      return convert_from<uint64_t>(mapping, out);
    case DataType::f16:
      return convert_from<Half>(mapping, out);
    case DataType::bf16:
      return convert_from<BrainFloat>(mapping, out);
    case DataType::f32:
      return convert_from<float>(mapping, out);
    case DataType::f64:
      return convert_from<double>(mapping, out);
    case DataType::boolean:
      return convert_from<uint8_t>(mapping, out);
  }
}

}  // namespace

std::vector<FormatSpec> any_tensors() { return {{TensorsSpec{}, MemoryKind::system}}; }

Result<const TensorsInfo*> outputs_of(const Format& format) {
  const TensorsInfo* outputs = format.tensors();
  if (!outputs || outputs->tensors.empty())
    return fail(ErrorCode::not_negotiated, "the outputs of a model are needed, but {} comes in",
                to_string(format));
  return outputs;
}

std::string to_string(const TensorsInfo& outputs) {
  std::string text;
  for (const TensorInfo& tensor : outputs.tensors) {
    if (!text.empty()) text += ", ";
    if (!tensor.name.empty()) text += tensor.name + ' ';
    text += std::format("{} {}", to_string(tensor.type), tensor.shape.to_string());
  }
  return text;
}

Result<int> find_output(const TensorsInfo& outputs, std::string_view layer) {
  if (layer.empty()) {
    if (outputs.tensors.size() == 1) return 0;
    return fail(ErrorCode::invalid_argument, "layer-name has to say which of the outputs is meant: {}",
                to_string(outputs));
  }
  for (size_t i = 0; i < outputs.tensors.size(); ++i)
    if (outputs.tensors[i].name == layer) return int(i);
  return fail(ErrorCode::invalid_argument, "layer-name={}: there is no such output, only {}", layer,
              to_string(outputs));
}

Result<Tensor> own_sample(const Frame& frame, size_t index, size_t batch_rank) {
  if (index >= frame.tensors.size())
    return fail(ErrorCode::corrupt, "the frame has {} tensors, output {} is missing", frame.tensors.size(),
                index + 1);
  if (frame.batch.size() > 1)
    return fail(ErrorCode::not_negotiated,
                "the frame is a batch of {} samples; batch_split has to take it apart", frame.batch.size());
  Tensor tensor = frame.tensors[index];
  if (tensor.shape.rank() < batch_rank || tensor.shape[0] <= 1) return tensor;
  const int sample = frame.source ? frame.source->batch_index : 0;
  if (sample < 0 || sample >= tensor.shape[0])
    return fail(ErrorCode::corrupt, "the frame is sample {} of a batch, but the output is {}", sample,
                tensor.shape.to_string());
  tensor.offset += size_t(sample * tensor.strides[0]);
  tensor.shape[0] = 1;
  return tensor;
}

template <class T>
Result<Values<T>> read_values(const Tensor& tensor, std::vector<T>& scratch) {
  auto mapping = map(tensor, Access::read);
  if (!mapping) return forward_error(mapping);
  Values<T> values{std::move(*mapping), {}};
  if constexpr (std::same_as<T, float>) {
    const bool aligned = std::bit_cast<uintptr_t>(values.mapping.data()) % alignof(float) == 0;
    if (tensor.type == DataType::f32 && aligned && values.mapping.dense()) {
      values.data = values.mapping.template as<const float>();
      return values;
    }
  }
  convert(values.mapping, scratch);
  values.data = scratch;
  return values;
}

Result<std::span<const float>> OutputReader::read(const Frame& frame, size_t index, size_t batch_rank) {
  auto sample = own_sample(frame, index, batch_rank);
  if (!sample) return forward_error(sample);
  if (outputs_.size() <= index) outputs_.resize(index + 1);
  Output& output = outputs_[index];
  auto values = read_values(*sample, output.scratch);
  if (!values) return forward_error(values);
  output.values = *std::move(values);
  return output.values.data;
}

void OutputReader::release() {
  for (Output& output : outputs_) output.values = {};
}

std::optional<CellRows> cell_rows(int tensor, const Shape& shape) {
  if (!shape.fixed()) return {};
  if (shape.rank() == 3 && shape[0] <= 1) return CellRows{tensor, shape[1], shape[2], shape[2], 1};
  if (shape.rank() == 2) return CellRows{tensor, shape[0], shape[1], shape[1], 1};
  if (shape.rank() == 4 && shape[0] <= 1) {
    const int64_t cells = shape[2] * shape[3];
    return CellRows{tensor, cells, shape[1], 1, cells};
  }
  return {};
}

void cell_rows(const Frame& frame, std::vector<CellRows>& rows) {
  rows.clear();
  for (size_t i = 0; i < frame.tensors.size(); ++i) {
    Shape shape = frame.tensors[i].shape;
    if (shape.rank() > 2 && shape[0] > 1) shape[0] = 1;
    if (const auto found = cell_rows(int(i), shape)) rows.push_back(*found);
  }
}

bool same_shapes(const Frame& frame, std::vector<Shape>& shapes) {
  bool same = shapes.size() == frame.tensors.size();
  for (size_t i = 0; same && i < shapes.size(); ++i) same = frame.tensors[i].shape == shapes[i];
  if (same) return true;
  shapes.clear();
  for (const Tensor& tensor : frame.tensors) shapes.push_back(tensor.shape);
  return false;
}

TensorsInfo with_shapes(const TensorsInfo& agreed, const Frame& frame) {
  TensorsInfo info;
  for (size_t i = 0; i < frame.tensors.size(); ++i) {
    TensorInfo& tensor = info.tensors.emplace_back();
    tensor.type = frame.tensors[i].type;
    tensor.shape = frame.tensors[i].shape;
    if (i < agreed.tensors.size()) tensor.name = agreed.tensors[i].name;
  }
  return info;
}

template Result<Values<float>> read_values(const Tensor&, std::vector<float>&);
template Result<Values<double>> read_values(const Tensor&, std::vector<double>&);

}  // namespace sightglass
