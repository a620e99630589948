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

// ---- sound

constexpr DataType sample_types[] = {DataType::i16, DataType::f32};

// Bytes between the channels and between the samples of interleaved sound.
Shape interleaved(int64_t channels, DataType type) {
  const int64_t size = int64_t(size_of(type));
  return {size, size * channels};
}

void sound_to_tensors(const TensorSpec& sound, MemoryKind memory, std::vector<FormatSpec>& specs) {
  const int64_t channels = sound.shape.rank() == 2 ? sound.shape[0] : -1;
  for (DataType type : sound.types) {
    TensorSpec tensor{.types = {type}, .shape = {channels, -1}, .strides = {}, .name = {}};
    if (channels > 1) tensor.strides = interleaved(channels, type);
    add(TensorsSpec{{tensor}, {}}, memory, specs);
    if (channels != 1) continue;
    tensor.shape = {1, 1, -1};
    add(TensorsSpec{{tensor}, {}}, memory, specs);
  }
}

void to_sound(const TensorsSpec& tensors, MemoryKind memory, std::vector<FormatSpec>& specs) {
  if (tensors.tensors.size() > 1 || memory != MemoryKind::system) return;
  const TensorSpec wanted = tensors.tensors.empty() ? TensorSpec{} : tensors.tensors[0];
  int64_t channels = -1;
  if (!wanted.shape.empty()) {
    const size_t rank = wanted.shape.rank();
    if (rank < 2 || rank > 3 || (rank == 3 && wanted.shape[0] > 1)) return;
    channels = wanted.shape[rank - 2];
  }
  TensorSpec sound{.types = {}, .shape = {channels, -1}, .strides = {}, .name = {}};
  for (DataType type : sample_types)
    if (wanted.types.empty() || std::ranges::contains(wanted.types, type)) sound.types.push_back(type);
  if (!sound.types.empty()) add(TensorsSpec{{sound}, TensorConvert::sound}, memory, specs);
}

}  // namespace

std::vector<FormatSpec> TensorConvert::transform_format(Direction from, const FormatSpec& spec) const {
  std::vector<FormatSpec> specs;
  const auto* video = std::get_if<VideoSpec>(&spec.media);
  const auto* tensors = std::get_if<TensorsSpec>(&spec.media);
  if (from == Direction::input && tensors && tensors->model == sound && tensors->tensors.size() == 1)
    sound_to_tensors(tensors->tensors[0], spec.memory, specs);
  if (from == Direction::output && !video) to_sound(tensors ? *tensors : TensorsSpec{}, spec.memory, specs);
  if (from == Direction::input && !tensors) to_tensors(video ? *video : VideoSpec{}, spec.memory, specs);
  if (from == Direction::output && !video) to_video(tensors ? *tensors : TensorsSpec{}, spec.memory, specs);
  return specs;
}

Status TensorConvert::configure(const Format& input, const Format& output) {
  const VideoInfo* video = input.video();
  const TensorsInfo* tensors = output.tensors();
  sound_ = false;
  if (const TensorsInfo* given = input.tensors();
      given && given->model == sound && tensors && given->tensors.size() == 1 && tensors->tensors.size() == 1)
    return configure_sound(given->tensors[0], tensors->tensors[0]);
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

Status TensorConvert::configure_sound(const TensorInfo& sound_info, const TensorInfo& wanted) {
  const size_t rank = wanted.shape.rank();
  const bool fits = (rank == 2 || (rank == 3 && wanted.shape[0] == 1)) && wanted.shape.fixed() &&
                    wanted.type == sound_info.type && wanted.shape[rank - 2] == sound_info.shape[0];
  if (!fits)
    return fail(ErrorCode::not_negotiated, "{} channels of {} cannot be read as {} {}", sound_info.shape[0],
                to_string(sound_info.type), to_string(wanted.type), wanted.shape.to_string());
  tensor_ = wanted;
  sound_ = true;
  return {};
}

Status TensorConvert::process_sound(const Frame& frame, Output& output) {
  const int64_t wanted = tensor_.shape.back();
  const int64_t samples = frame.tensors.size() == 1 ? frame.tensors[0].shape.back() : 0;
  if (samples > wanted)
    return fail(ErrorCode::invalid_argument,
                "a buffer of {} samples came, {} are wanted; cut the sound into buffers of that size, with "
                "audiobuffersplit for instance",
                samples, wanted);
  if (samples < wanted) return output.gap({frame.pts, frame.duration, frame.source});
  Tensor tensor = frame.tensors[0];
  if (tensor_.shape.rank() == 3) {
    const Shape strides = tensor.strides;
    tensor.strides = {strides[1] * wanted, strides[0], strides[1]};
  }
  tensor.shape = tensor_.shape;
  tensor.layout = tensor_.layout;
  result_.tensors.assign(1, std::move(tensor));
  result_.pts = frame.pts;
  result_.duration = frame.duration;
  result_.affine.reset();
  result_.source = frame.source;
  Status sent = output.push(result_);
  result_.tensors.clear();
  return sent;
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
  if (sound_) return process_sound(frame, output);
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

TensorsSpec one_tensor_of(std::vector<DataType> types) {
  TensorsSpec spec;
  spec.tensors.emplace_back().types = std::move(types);
  return spec;
}

TensorsSpec any_sound() {
  TensorsSpec spec = one_tensor_of({std::begin(sample_types), std::end(sample_types)});
  spec.tensors[0].shape = {-1, -1};
  spec.model = TensorConvert::sound;
  return spec;
}

std::vector<FormatSpec> in_every_memory(const decltype(FormatSpec::media)& media,
                                        const TensorsSpec& of_sound) {
  using enum MemoryKind;
  return {{media, system}, {media, cuda}, {media, va}, {media, opencl}, {of_sound, system}};
}

const Registration registration({
    .name = "tensor_convert",
    .title = "Media as tensor",
    .klass = "Filter/Converter",
    .doc = "Reads the bytes of a picture, or the samples of sound, as a tensor without copying them.",
    .kind = ElementKind::transform,
    .input = in_every_memory(VideoSpec{all_formats(), {}, {}}, any_sound()),
    .output = in_every_memory(one_tensor_of({DataType::u8}), one_tensor_of({DataType::i16, DataType::f32})),
    .params = ParamTable::of<TensorConvert::Params>({}),
    .create = [](const ParamSet&) -> Result<std::unique_ptr<Element>> {
      return std::make_unique<TensorConvert>();
    },
});

}  // namespace
}  // namespace sightglass
