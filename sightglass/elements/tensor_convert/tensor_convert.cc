#include "sightglass/elements/tensor_convert/tensor_convert.h"

#include <algorithm>
#include <cstring>

#include "sightglass/core/registry.h"
#include "sightglass/memory/mapping.h"

namespace sightglass {
namespace {

// How the bytes of a picture lie, apart from its size.
struct Arrangement {
  int channels;
  bool planar;
  std::vector<PixelFormat> formats;
};
const std::vector<Arrangement>& arrangements() {
  using enum PixelFormat;
  static const std::vector<Arrangement> all = {{3, false, {rgb, bgr}},
                                               {4, false, {rgbx, bgrx, rgba, bgra}},
                                               {3, true, {rgbp, bgrp}},
                                               {1, false, {gray8}}};
  return all;
}
std::vector<PixelFormat> all_formats() {
  std::vector<PixelFormat> formats;
  for (const Arrangement& arrangement : arrangements())
    formats.insert(formats.end(), arrangement.formats.begin(), arrangement.formats.end());
  return formats;
}

// Bytes of a row in a picture as GStreamer lays it out by default.
int64_t default_row(int64_t width, const Arrangement& arrangement) {
  const int64_t bytes = arrangement.planar ? width : width * arrangement.channels;
  return (bytes + 3) / 4 * 4;
}

struct Axes {
  int height, width, channels;  // -1: not there
};
std::optional<Axes> axes_of(Layout layout) {
  switch (layout) {
    case Layout::nchw:
      return Axes{2, 3, 1};
    case Layout::nhwc:
      return Axes{1, 2, 3};
    case Layout::chw:
      return Axes{1, 2, 0};
    case Layout::hwc:
      return Axes{0, 1, 2};
    case Layout::hw:
      return Axes{0, 1, -1};
    default:
      return {};
  }
}

TensorSpec tensor_of(Layout layout, const Arrangement& arrangement, IntRange height, IntRange width) {
  const Axes axes = *axes_of(layout);
  TensorSpec spec;
  spec.types = {DataType::u8};
  spec.layout = layout;
  const size_t rank = to_string(layout).size();
  for (size_t axis = 0; axis < rank; ++axis) spec.shape.push_back(1);
  spec.shape[size_t(axes.height)] = height.fixed() ? height.min : -1;
  spec.shape[size_t(axes.width)] = width.fixed() ? width.min : -1;
  if (axes.channels >= 0) spec.shape[size_t(axes.channels)] = arrangement.channels;
  if (!width.fixed()) return spec;
  const int64_t row = default_row(width.min, arrangement),
                pixel = arrangement.planar ? 1 : arrangement.channels;
  if (row == width.min * pixel) return spec;  // dense
  if (!height.fixed()) return spec;
  for (size_t axis = 0; axis < rank; ++axis) spec.strides.push_back(0);
  spec.strides[size_t(axes.height)] = row;
  spec.strides[size_t(axes.width)] = pixel;
  const int64_t plane = row * height.min;
  if (axes.channels >= 0) spec.strides[size_t(axes.channels)] = arrangement.planar ? plane : 1;
  if (rank == 4) spec.strides[0] = plane * (arrangement.planar ? arrangement.channels : 1);
  return spec;
}

std::vector<Layout> layouts_of(const Arrangement& arrangement) {
  using enum Layout;
  if (arrangement.channels == 1) return {hw, nhwc, nchw, hwc, chw};
  return arrangement.planar ? std::vector{nchw, chw} : std::vector{nhwc, hwc};
}

void add(decltype(FormatSpec::media) media, MemoryKind memory, std::vector<FormatSpec>& specs) {
  FormatSpec& spec = specs.emplace_back();
  spec.media = std::move(media);
  spec.memory = memory;
}

void to_tensors(const VideoSpec& video, MemoryKind memory, std::vector<FormatSpec>& specs) {
  for (const Arrangement& arrangement : arrangements()) {
    const bool wanted =
        video.formats.empty() || std::ranges::any_of(arrangement.formats, [&](PixelFormat format) {
          return std::ranges::find(video.formats, format) != video.formats.end();
        });
    if (!wanted) continue;
    for (Layout layout : layouts_of(arrangement)) {
      TensorsSpec tensors;
      tensors.tensors.push_back(tensor_of(layout, arrangement, video.height, video.width));
      add(std::move(tensors), memory, specs);
    }
  }
}

IntRange range_of(int64_t size) {
  return size > 0 && size <= INT_MAX ? IntRange::exactly(int(size)) : IntRange{};
}

void to_video(const TensorsSpec& tensors, MemoryKind memory, std::vector<FormatSpec>& specs) {
  if (tensors.tensors.empty()) return add(VideoSpec{all_formats(), {}, {}}, memory, specs);
  if (tensors.tensors.size() != 1) return;
  const TensorSpec& tensor = tensors.tensors[0];
  if (!tensor.types.empty() && std::ranges::find(tensor.types, DataType::u8) == tensor.types.end()) return;
  for (const Arrangement& arrangement : arrangements()) {
    for (Layout layout : layouts_of(arrangement)) {
      if (tensor.layout != Layout::any && tensor.layout != layout) continue;
      VideoSpec video{arrangement.formats, {}, {}};
      if (!tensor.shape.empty()) {
        const Axes axes = *axes_of(layout);
        if (tensor.shape.rank() != to_string(layout).size()) continue;
        if (tensor.shape.rank() == 4 && tensor.shape[0] > 1) continue;
        if (axes.channels >= 0) {
          const int64_t channels = tensor.shape[size_t(axes.channels)];
          if (channels > 0 && channels != arrangement.channels) continue;
        }
        video.width = range_of(tensor.shape[size_t(axes.width)]);
        video.height = range_of(tensor.shape[size_t(axes.height)]);
      }
      add(std::move(video), memory, specs);
      if (tensor.shape.empty()) break;  // the same for every layout
    }
  }
}

}  // namespace

std::vector<FormatSpec> TensorConvert::transform_format(Direction from, const FormatSpec& spec) const {
  std::vector<FormatSpec> specs;
  const auto* video = std::get_if<VideoSpec>(&spec.media);
  const auto* tensors = std::get_if<TensorsSpec>(&spec.media);
  if (from == Direction::input && !tensors) to_tensors(video ? *video : VideoSpec{}, spec.memory, specs);
  if (from == Direction::output && !video) to_video(tensors ? *tensors : TensorsSpec{}, spec.memory, specs);
  return specs;
}

Status TensorConvert::configure(const Format& input, const Format& output) {
  const VideoInfo* video = input.video();
  const TensorsInfo* tensors = output.tensors();
  const auto refuse = [&] {
    return fail(ErrorCode::not_negotiated, "{} cannot be read as {}", to_string(input), to_string(output));
  };
  if (!video || !tensors || tensors->tensors.size() != 1) return refuse();
  tensor_ = tensors->tensors[0];
  for (const Arrangement& arrangement : arrangements()) {
    if (std::ranges::find(arrangement.formats, video->format) == arrangement.formats.end()) continue;
    planar_ = arrangement.planar;
    for (Layout layout : layouts_of(arrangement)) {
      const TensorSpec spec =
          tensor_of(layout, arrangement, IntRange::exactly(video->height), IntRange::exactly(video->width));
      if (tensor_.shape != spec.shape || (tensor_.layout != Layout::any && tensor_.layout != layout))
        continue;
      if (tensor_.type != DataType::u8) return refuse();
      tensor_.layout = layout;
      if (tensor_.strides.empty()) tensor_.strides = dense_strides(tensor_.shape, DataType::u8);
      return {};
    }
  }
  return refuse();
}

Tensor TensorConvert::shared(const Frame& frame) const {
  const Axes axes = *axes_of(tensor_.layout);
  const Tensor& first = frame.tensors[0];
  if (tensor_.shape[size_t(axes.height)] > 1 && first.strides[0] != tensor_.strides[size_t(axes.height)])
    return {};
  for (size_t plane = 1; plane < frame.tensors.size(); ++plane) {
    const Tensor& other = frame.tensors[plane];
    const auto distance = int64_t(plane) * tensor_.strides[size_t(axes.channels)];
    if (other.memory != first.memory || int64_t(other.offset) - int64_t(first.offset) != distance) return {};
    if (other.strides[0] != first.strides[0]) return {};
  }
  return {first.memory, first.offset, DataType::u8, tensor_.layout, tensor_.shape, tensor_.strides};
}

Status TensorConvert::copy(const Frame& frame, Output& output) {
  if (auto allocated = output.allocate(result_); !allocated) return allocated;
  auto to = map(result_.tensors[0], Access::write);
  if (!to) return forward_error(to);
  const Axes axes = *axes_of(tensor_.layout);
  for (size_t plane = 0; plane < frame.tensors.size(); ++plane) {
    auto from = map(frame.tensors[plane], Access::read);
    if (!from) return forward_error(from);
    const Shape& strides = to->strides();
    std::byte* start = to->data() + (plane ? int64_t(plane) * strides[size_t(axes.channels)] : 0);
    for (int64_t y = 0; y < from->shape()[0]; ++y)
      std::memcpy(start + y * strides[size_t(axes.height)], from->row<const std::byte>(y),
                  size_t(from->shape()[1]));
  }
  return {};
}

Status TensorConvert::process(const Frame& frame, Output& output) {
  if (!frame.video || frame.tensors.size() != (planar_ ? 3u : 1u))
    return fail(ErrorCode::corrupt, "the frame is not the picture that was agreed");
  result_.tensors.clear();
  result_.pts = frame.pts;
  result_.duration = frame.duration;
  result_.affine = frame.affine;
  result_.source = frame.source;
  if (Tensor tensor = shared(frame); tensor.memory) {
    result_.tensors.push_back(std::move(tensor));
  } else if (auto copied = copy(frame, output); !copied) {
    return copied;
  }
  Status sent = output.push(result_);
  result_.tensors.clear();  // the picture is not held on to
  return sent;
}

namespace {

TensorsSpec one_tensor_of_bytes() {
  TensorsSpec spec;
  spec.tensors.emplace_back().types = {DataType::u8};
  return spec;
}

std::vector<FormatSpec> in_every_memory(const decltype(FormatSpec::media)& media) {
  using enum MemoryKind;
  return {{media, system}, {media, cuda}, {media, va}, {media, opencl}};
}

const Registration registration({
    .name = "tensor_convert",
    .title = "Picture as tensor",
    .klass = "Filter/Converter",
    .doc = "Reads the bytes of a picture as a uint8 tensor without copying them.",
    .kind = ElementKind::transform,
    .input = in_every_memory(VideoSpec{all_formats(), {}, {}}),
    .output = in_every_memory(one_tensor_of_bytes()),
    .params = ParamTable::of<TensorConvert::Params>({}),
    .create = [](const ParamSet&) -> Result<std::unique_ptr<Element>> {
      return std::make_unique<TensorConvert>();
    },
});

}  // namespace
}  // namespace sightglass
