#include "sightglass/elements/opencv_tensor_normalize/opencv_tensor_normalize.h"

#include <algorithm>
#include <span>

#include "sightglass/core/registry.h"
#include "sightglass/memory/mapping.h"

namespace sightglass {
namespace {

// The x of RGBx has no mean of its own: it gets that of the last colour.
bool fits(int64_t axis_size, size_t channels) {
  return axis_size == int64_t(channels) || (channels == 3 && axis_size == 4);
}

// The axis of so many channels; -1: there is none.
int channel_axis(const TensorInfo& tensor, size_t channels) {
  const Shape& shape = tensor.shape;
  const int last = int(shape.rank()) - 1;
  const auto checked = [&](int axis) {
    return axis >= 0 && axis <= last && fits(shape[size_t(axis)], channels) ? axis : -1;
  };
  switch (tensor.layout) {
    case Layout::nchw:
    case Layout::nc:
      return checked(1);
    case Layout::nhwc:
    case Layout::hwc:
      return checked(last);
    case Layout::chw:
      return checked(0);
    case Layout::hw:
      return -1;
    case Layout::any:
      break;
  }
  if (last < 2) return -1;
  // Planes before pixels, and the very number before one more.
  for (int axis : {last - 2, last})
    if (shape[size_t(axis)] == int64_t(channels)) return axis;
  return checked(last - 2) >= 0 ? last - 2 : checked(last);
}

}  // namespace

Status OpencvTensorNormalize::start() {
  if (!params_.range.empty() && params_.range.size() != 2)
    return fail(ErrorCode::invalid_argument, "range needs two numbers, what 0 and 255 become, but has {}",
                params_.range.size());
  if (params_.mean.size() > 1 && params_.std.size() > 1 && params_.mean.size() != params_.std.size())
    return fail(ErrorCode::invalid_argument, "mean has {} numbers and std {}", params_.mean.size(),
                params_.std.size());
  if (std::ranges::find(params_.std, 0.0) != params_.std.end())
    return fail(ErrorCode::invalid_argument, "std must not be 0, it is divided by");
  return {};
}

std::vector<FormatSpec> OpencvTensorNormalize::transform_format(Direction from,
                                                                const FormatSpec& spec) const {
  TensorsSpec result;
  const bool forward = from == Direction::input;
  if (const auto* tensors = std::get_if<TensorsSpec>(&spec.media)) {
    result = *tensors;
    for (TensorSpec& tensor : result.tensors) {
      const DataType wanted = forward ? DataType::u8 : DataType::f32;
      if (!tensor.types.empty() && std::ranges::find(tensor.types, wanted) == tensor.types.end()) return {};
      tensor.types = {forward ? DataType::f32 : DataType::u8};
      tensor.strides = {};
    }
  } else if (std::holds_alternative<VideoSpec>(spec.media)) {
    return {};
  }
  return {{std::move(result), spec.memory}};
}

OpencvTensorNormalize::Table OpencvTensorNormalize::table(size_t channel) const {
  const auto pick = [channel](const std::vector<double>& values, double otherwise) {
    return values.empty() ? otherwise : values[values.size() == 1 ? 0 : channel];
  };
  const double low = params_.range.empty() ? 0 : params_.range[0],
               high = params_.range.empty() ? 255 : params_.range[1];
  const double mean = pick(params_.mean, 0), std = pick(params_.std, 1);
  Table values;
  for (size_t v = 0; v < values.size(); ++v)
    values[v] =
        float(((params_.range.empty() ? double(v) : low + double(v) / 255 * (high - low)) - mean) / std);
  return values;
}

Status OpencvTensorNormalize::configure(const Format& input, const Format& output) {
  const TensorsInfo *in = input.tensors(), *out = output.tensors();
  bool fits = in && out && in->tensors.size() == out->tensors.size() && !in->tensors.empty();
  for (size_t i = 0; fits && i < in->tensors.size(); ++i)
    fits = in->tensors[i].type == DataType::u8 && out->tensors[i].type == DataType::f32 &&
           !in->tensors[i].shape.empty() && in->tensors[i].shape == out->tensors[i].shape;
  if (!fits)
    return fail(ErrorCode::not_negotiated, "{} cannot be normalised to {}", to_string(input),
                to_string(output));

  const size_t channels = std::max<size_t>({1, params_.mean.size(), params_.std.size()});
  channel_axes_.clear();
  for (const TensorInfo& tensor : in->tensors) {
    const int axis = channels > 1 ? channel_axis(tensor, channels) : -1;
    if (channels > 1 && axis < 0)
      return fail(ErrorCode::invalid_argument,
                  "mean or std has {} numbers, but {} has not that many channels", channels,
                  to_string(input));
    channel_axes_.push_back(axis);
  }
  tables_.clear();
  for (size_t channel = 0; channel < channels; ++channel) tables_.push_back(table(channel));
  return {};
}

namespace {

// Where a tensor's elements are, in elements of T.
template <class T>
struct Strided {
  T* data;
  Shape steps;

  explicit Strided(const Mapping& mapping)
      : data(reinterpret_cast<T*>(mapping.data())), steps(mapping.strides()) {
    for (size_t axis = 0; axis < steps.rank(); ++axis) steps[axis] /= int64_t(sizeof(T));
  }
  T* at(const int64_t* index) const {
    T* element = data;
    for (size_t axis = 0; axis < steps.rank(); ++axis) element += index[axis] * steps[axis];
    return element;
  }
};

void look_up(const uint8_t* from, int64_t from_step, const std::array<float, 256>& table, float* to,
             int64_t to_step, int64_t count) {
  if (from_step == 1 && to_step == 1)
    for (int64_t i = 0; i < count; ++i) to[i] = table[from[i]];
  else
    for (int64_t i = 0; i < count; ++i) to[i * to_step] = table[from[i * from_step]];
}

// Row by row; where the channels lie innermost, each of them along the axis before.
void normalize(const Shape& shape, const Strided<const uint8_t>& from, const Strided<float>& to,
               int channel_axis, std::span<const std::array<float, 256>> tables) {
  const int last = int(shape.rank()) - 1;
  const auto run_axis = size_t(channel_axis == last && last > 0 ? last - 1 : last);
  int64_t index[Shape::max_rank] = {};
  for (int axis = 0; axis >= 0;) {
    const auto channel = channel_axis >= 0 ? size_t(index[channel_axis]) : 0;
    look_up(from.at(index), from.steps[run_axis], tables[std::min(channel, tables.size() - 1)], to.at(index),
            to.steps[run_axis], shape[run_axis]);
    // The next run: counts like an odometer.
    for (axis = last; axis >= 0; --axis) {
      if (size_t(axis) == run_axis) continue;
      if (++index[axis] < shape[size_t(axis)]) break;
      index[axis] = 0;
    }
  }
}

}  // namespace

Status OpencvTensorNormalize::process(const Frame& frame, Output& output) {
  if (frame.tensors.size() != channel_axes_.size())
    return fail(ErrorCode::corrupt, "{} tensors, but {} were agreed", frame.tensors.size(),
                channel_axes_.size());
  result_.pts = frame.pts;
  result_.duration = frame.duration;
  result_.affine = frame.affine;
  result_.source = frame.source;
  result_.batch = frame.batch;
  if (auto allocated = output.allocate(result_); !allocated) return allocated;
  for (size_t i = 0; i < channel_axes_.size(); ++i) {
    auto from = map(frame.tensors[i], Access::read);
    if (!from) return forward_error(from);
    auto to = map(result_.tensors[i], Access::write);
    if (!to) return forward_error(to);
    const Shape& shape = from->shape();
    if (from->type() != DataType::u8 || to->type() != DataType::f32 || shape != to->shape())
      return fail(ErrorCode::corrupt, "the tensor is {} {}, not what was agreed", to_string(from->type()),
                  shape.to_string());
    if (shape.elements() > 0)
      normalize(shape, Strided<const uint8_t>(*from), Strided<float>(*to), channel_axes_[i], tables_);
  }
  Status sent = output.push(result_);
  result_.tensors.clear();
  return sent;
}

namespace {

const Registration registration({
    .name = "opencv_tensor_normalize",
    .title = "Tensor normaliser",
    .klass = "Filter/Converter",
    .doc = "Turns uint8 tensors into float32: brought to a range first, then less the mean and divided by "
           "std, per channel.",
    .kind = ElementKind::transform,
    .input = {{TensorsSpec{{TensorSpec{{DataType::u8}, {}, Layout::any, {}, {}}}, {}}}},
    .output = {{TensorsSpec{{TensorSpec{{DataType::f32}, {}, Layout::any, {}, {}}}, {}}}},
    .params = ParamTable::of<OpencvTensorNormalize::Params>({
        param("range", &OpencvTensorNormalize::Params::range,
              "what 0 and 255 become, before mean and std; empty: 0 and 255"),
        param("mean", &OpencvTensorNormalize::Params::mean,
              "subtracted; one number, or one for each channel"),
        param("std", &OpencvTensorNormalize::Params::std, "divided by; one number, or one for each channel"),
    }),
    .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
      return std::make_unique<OpencvTensorNormalize>(params.as<OpencvTensorNormalize::Params>());
    },
});

}  // namespace
}  // namespace sightglass
