#include "sightglass/elements/video_to_tensor/video_to_tensor.h"

#include <algorithm>
#include <utility>

#include "sightglass/core/registry.h"
#include "sightglass/memory/cuda/cuda.h"

namespace sightglass {
namespace {

constexpr DataType usable_types[] = {DataType::f32, DataType::u8, DataType::f16, DataType::i32, DataType::i8};

bool agree(int64_t a, int64_t b) { return a < 0 || b < 0 || a == b; }

bool agree(const TensorSpec& mine, const TensorSpec& theirs) {
  if (!theirs.types.empty() && std::ranges::find_first_of(mine.types, theirs.types) == mine.types.end())
    return false;
  if (theirs.layout != Layout::any && theirs.layout != mine.layout) return false;
  if (theirs.shape.empty()) return true;
  return std::ranges::equal(mine.shape, theirs.shape, [](int64_t a, int64_t b) { return agree(a, b); });
}

// Where the axes are in a shape of this layout.
struct AxisPlaces {
  size_t channel, row, column;
};
AxisPlaces places(Layout layout) {
  switch (layout) {
    case Layout::nchw:
      return {1, 2, 3};
    case Layout::chw:
      return {0, 1, 2};
    case Layout::nhwc:
      return {3, 1, 2};
    default:
      return {2, 0, 1};  // HWC
  }
}

constexpr int64_t most_pixels = 32768;  // of a side
constexpr int64_t most_samples = 1024;  // of a batch

std::vector<PixelFormat> all_formats() {
  const auto known = all_8_bit_formats();
  std::vector<PixelFormat> formats(known.begin(), known.end());
  formats.push_back(PixelFormat::p010);
  return formats;
}

TensorsSpec any_tensor() {
  return {{{{std::begin(usable_types), std::end(usable_types)}, {}, Layout::any, {}}}};
}

// One pixel row of 16-bit samples, of which the upper ten bits count, as 8-bit samples.
void narrow(const uint8_t* from, int samples, uint8_t* to) {
  for (int i = 0; i < samples; ++i) {
    const unsigned value = unsigned(from[2 * i] | from[2 * i + 1] << 8);
    to[i] = uint8_t(std::min(255u, (value + 128) >> 8));
  }
}

}  // namespace

VideoToTensor::VideoToTensor(const Params& params)
    : params_(params), rule_{params.resize, int(params.size_multiple), int(params.max_width)} {
  // Classifiers cut the centre out of a larger picture: less of the short side is kept, of regions and whole
  // pictures alike.
  if (params_.resize == Resize::crop && params_.roi_expand < 1)
    rule_.share = std::exchange(params_.roi_expand, 1.0);
}

std::vector<TensorSpec> VideoToTensor::tensor_specs(const VideoInfo* video) const {
  Size size{int(params_.width), int(params_.height)};
  switch (params_.resize) {
    case Resize::stretch:
    case Resize::letterbox:
    case Resize::letterbox_topleft:
    case Resize::crop:
      break;
    case Resize::none:
    case Resize::fit_height:
    case Resize::multiple:
      if (video) {
        if (const auto canvas = canvas_size(rule_, *video, size)) size = *canvas;
      } else if (params_.resize == Resize::multiple) {
        size = {};  // the parameters are limits
      }
  }
  const int64_t h = size.height ? size.height : -1, w = size.width ? size.width : -1;

  std::vector<int64_t> channels = {3, 1};
  if (params_.color != Color::automatic) channels = {params_.color == Color::gray ? 1 : 3};
  std::vector<DataType> types(std::begin(usable_types), std::end(usable_types));
  switch (params_.dtype) {
    case Type::automatic:
      break;
    case Type::u8:
      types = {DataType::u8};
      break;
    case Type::f32:
      types = {DataType::f32};
      break;
    case Type::f16:
      types = {DataType::f16};
      break;
    case Type::i8:
      types = {DataType::i8};
      break;
    case Type::i32:
      types = {DataType::i32};
      break;
  }
  std::vector<TensorSpec> specs;
  const auto add = [&](Layout layout, const Shape& shape) {
    const bool first = layout == Layout::nchw || layout == Layout::chw;
    if (params_.layout != (first ? Axes::nhwc : Axes::nchw)) specs.push_back({types, shape, layout, {}});
  };
  for (int64_t c : channels) {
    add(Layout::nchw, {1, c, h, w});
    add(Layout::nhwc, {1, h, w, c});
    add(Layout::chw, {c, h, w});
    add(Layout::hwc, {h, w, c});
  }
  // Last, so that nobody gets a batch who has not asked for one.
  for (int64_t c : channels) {
    add(Layout::nchw, {-1, c, h, w});
    add(Layout::nhwc, {-1, h, w, c});
  }
  return specs;
}

std::vector<FormatSpec> VideoToTensor::transform_format(Direction from, const FormatSpec& spec) const {
  if (spec.memory != MemoryKind::system && (spec.memory != MemoryKind::cuda || !samples_on_device()))
    return {};
  if (from == Direction::input) {
    if (std::holds_alternative<TensorsSpec>(spec.media)) return {};
    const auto* set = std::get_if<VideoSpec>(&spec.media);
    VideoInfo video;
    const bool known = set && set->width.fixed() && set->height.fixed();
    if (known) video.width = set->width.min, video.height = set->height.min;
    std::vector<FormatSpec> result;
    for (TensorSpec& tensor : tensor_specs(known ? &video : nullptr))
      result.push_back({TensorsSpec{{std::move(tensor)}}, spec.memory});
    return result;
  }
  if (std::holds_alternative<VideoSpec>(spec.media)) return {};
  if (const auto* tensors = std::get_if<TensorsSpec>(&spec.media); tensors && !tensors->tensors.empty()) {
    if (tensors->tensors.size() != 1) return {};
    const TensorSpec& theirs = tensors->tensors[0];
    if (std::ranges::none_of(tensor_specs(nullptr),
                             [&](const TensorSpec& mine) { return agree(mine, theirs); }))
      return {};
  }
  return {{VideoSpec{all_formats(), {}, {}}, spec.memory}};
}

bool VideoToTensor::samples_on_device() const {
  return params_.interpolation != Method::bicubic && params_.interpolation != Method::area;
}

Status VideoToTensor::configure(const Format& input, const Format& output) {
  preprocessor_.reset();
  device_pass_.reset();
  beside_ = nullptr;
  beside_what_ = nullptr;
  const VideoInfo* video = input.video();
  const TensorsInfo* tensors = output.tensors();
  if (!video || !tensors || tensors->tensors.size() != 1)
    return fail(ErrorCode::not_negotiated, "makes one tensor from video, not {} from {}", to_string(output),
                to_string(input));
  const TensorInfo& tensor = tensors->tensors[0];
  if (!tensor.shape.fixed() || tensor.shape.empty())
    return fail(
        ErrorCode::not_negotiated,
        "the size of the tensor is not known; set width and height, or follow with an element that fixes it");

  const TensorSpec wanted{{tensor.type}, tensor.shape, tensor.layout, {}};
  const std::vector<TensorSpec> specs = tensor_specs(nullptr);
  const auto found = std::ranges::find_if(specs, [&](const TensorSpec& mine) { return agree(mine, wanted); });
  if (found == specs.end())
    return fail(ErrorCode::not_negotiated, "cannot make {}; with these properties tensors are {}",
                to_string(output), specs.front().shape.to_string());

  const AxisPlaces axes = places(found->layout);
  if (tensor.shape[axes.column] > most_pixels || tensor.shape[axes.row] > most_pixels)
    return fail(ErrorCode::not_negotiated, "cannot make {}; at most {} pixels wide and high",
                to_string(output), most_pixels);
  PreprocessOptions options;
  options.canvas = {int(tensor.shape[axes.column]), int(tensor.shape[axes.row])};
  options.rule = rule_;
  switch (params_.interpolation) {
    case Method::nearest:
      options.interpolation = Interpolation::nearest;
      break;
    case Method::bicubic:
      options.interpolation = Interpolation::bicubic;
      break;
    case Method::area:
      options.interpolation = Interpolation::area;
      break;
    case Method::automatic:
    case Method::bilinear:
      options.interpolation = Interpolation::bilinear;
      break;
  }
  options.channels = tensor.shape[axes.channel] == 1 ? ChannelOrder::gray
                     : params_.color == Color::bgr   ? ChannelOrder::bgr
                                                     : ChannelOrder::rgb;
  options.planar = axes.channel < axes.row;
  options.type = tensor.type;
  options.range = params_.range, options.mean = params_.mean, options.std = params_.std;
  options.scale = params_.scale, options.pad_value = params_.pad_value;
  if (tensor.shape.rank() == 4 && (tensor.shape[0] < 1 || tensor.shape[0] > most_samples))
    return fail(ErrorCode::not_negotiated, "cannot make {}; at most {} pictures in a batch",
                to_string(output), most_samples);
  if (input.memory != output.memory)
    return fail(ErrorCode::not_negotiated, "pictures in {} memory become tensors there, not in {} memory",
                to_string(input.memory), to_string(output.memory));
  if (input.memory == MemoryKind::cuda) {
    auto pass = DevicePass::make(*video, options, axes.row, axes.channel);
    if (!pass) return forward_error(pass);
    device_pass_ = *std::move(pass);
  } else {
    VideoInfo read_as = *video;
    if (video->format == PixelFormat::p010) read_as.format = PixelFormat::nv12;  // narrow() makes it that
    auto made = Preprocessor::make(read_as, options);
    if (!made) return forward_error(made);
    preprocessor_ = std::move(*made);
  }

  places_ = tensor.shape.rank() == 4 ? size_t(tensor.shape[0]) : 1;
  row_axis_ = axes.row, channel_axis_ = axes.channel;
  video_ = *video;
  options_ = options;
  return {};
}

Crop VideoToTensor::part_of(const Frame& frame) const {
  const bool is_region = frame.source && frame.source->roi && !frame.regions.empty();
  if (is_region && (params_.roi_expand != 1 || !frame.crop))
    return grow(frame.regions.front().box, params_.roi_expand, video_);
  if (!frame.crop) return {0, 0, video_.width, video_.height};
  return params_.roi_expand == 1 ? clip(*frame.crop, video_) : grow(*frame.crop, params_.roi_expand, video_);
}

bool VideoToTensor::is_agreed(const Frame& frame) const {
  const size_t count = plane_count(video_.format);
  if (!frame.video || frame.video->format != video_.format || frame.video->width != video_.width ||
      frame.video->height != video_.height || frame.tensors.size() != count)
    return false;
  for (size_t p = 0; p < count; ++p) {
    const Tensor& plane = frame.tensors[p];
    const int64_t row_bytes = int64_t(plane_width(video_, p)) * plane_layout(video_.format, p).pixel_bytes;
    if (plane.type != DataType::u8 || plane.shape.rank() != 2 || plane.shape[0] < plane_height(video_, p) ||
        plane.shape[1] < row_bytes || plane.strides.rank() != 2 || plane.strides[1] != 1)
      return false;
  }
  return true;
}

bool VideoToTensor::map_planes(const Frame& frame) {
  if (!is_agreed(frame)) return false;
  for (size_t p = 0; p < frame.tensors.size(); ++p) {
    const Tensor& plane = frame.tensors[p];
    auto mapping = map(plane, Access::read);
    if (!mapping) return false;
    planes_[p] = {reinterpret_cast<const uint8_t*>(mapping->data()), ptrdiff_t(plane.strides[0])};
    mappings_[p] = std::move(*mapping);
  }
  return true;
}

// The rows and columns of a 10-bit picture that count, as an 8-bit one.
void VideoToTensor::narrow_planes(const Crop& part) {
  for (size_t p = 0; p < plane_count(video_.format); ++p) {
    const int shift = plane_layout(video_.format, p).shift_y;
    // Chroma is interpolated across the edges of the part.
    const int first = std::max(0, (part.y >> shift) - 2);
    const int last = std::min(plane_height(video_, p), ((part.y + part.h) >> shift) + 3);
    const int samples = plane_width(video_, p) * plane_layout(video_.format, p).pixel_bytes / 2;
    auto& narrowed = narrowed_[p];
    narrowed.resize(size_t(samples) * size_t(plane_height(video_, p)));
    for (int y = first; y < last; ++y)
      narrow(planes_[p].data + y * planes_[p].stride, samples, narrowed.data() + size_t(y) * size_t(samples));
    planes_[p] = {narrowed.data(), samples};
  }
}

// Writes one picture into a place of the tensor and says what leads back from there; none when the picture
// cannot be read or nothing of it counts.
std::optional<Affine> VideoToTensor::write(const Frame& frame, const Mapping& tensor, size_t place) {
  const Crop part = part_of(frame);
  if (part.w <= 0 || part.h <= 0) return std::nullopt;
  // The picture is let go before the tensor is sent on.
  struct Unmap {
    ~Unmap() {
      for (Mapping& mapping : planes) mapping.reset();
    }
    std::array<Mapping, 4>& planes;
  } unmap{mappings_};
  if (!map_planes(frame)) return std::nullopt;
  if (video_.format == PixelFormat::p010) narrow_planes(part);
  const Shape& strides = tensor.strides();
  std::byte* start = tensor.data() + (place ? int64_t(place) * strides[0] : 0);
  const Affine back =
      preprocessor_->run({planes_.data(), plane_count(video_.format)}, part,
                         {start, ptrdiff_t(strides[row_axis_]), ptrdiff_t(strides[channel_axis_])});
  // Elements before this one may have moved the picture already.
  return frame.affine ? concat(back, *frame.affine) : back;
}

// In out_.
Status VideoToTensor::new_tensor(const Frame& frame, Output& output) {
  out_.clear();
  if (auto status = output.allocate(out_); !status) return status;
  if (out_.tensors.size() != 1 || out_.tensors[0].type != options_.type)
    return fail(ErrorCode::internal, "was given memory for another format");
  if (device_pass_ && cuda_pointer(out_.tensors[0]) == 0)
    return fail(ErrorCode::internal, "was given {} memory for a tensor in CUDA memory",
                to_string(out_.tensors[0].memory->kind()));
  return device_pass_ ? put_beside(frame, out_.tensors[0]) : Status{};
}

// A tensor lies on the device of its picture, also where the next element does not know yet which that is:
// with a model on several devices a stream is bound to one by its first tensor.
Status VideoToTensor::put_beside(const Frame& frame, Tensor& tensor) {
  const Context* const device =
      frame.tensors.empty() || !frame.tensors[0].memory ? nullptr : frame.tensors[0].memory->context();
  const Context* const given = tensor.memory->context();
  if (!device || !given || device->same_device(*given)) return {};
  if (beside_what_ != device) {
    auto pool = make_cuda_pool(ContextRef(const_cast<Context*>(device)), tensor.memory->size());
    if (!pool) return forward_error(pool);
    beside_ = *std::move(pool);
    beside_what_ = device;
  }
  auto block = beside_->acquire();
  if (!block) return forward_error(block);
  tensor.memory = *std::move(block);
  tensor.offset = 0;
  return {};
}

Status VideoToTensor::push(const Frame& frame, const Affine& back, Output& output) {
  if (!back.identity()) out_.affine = back;
  out_.pts = frame.pts;
  out_.duration = frame.duration;
  out_.source = frame.source;
  auto status = output.push(out_);
  out_.clear();  // the tensor is not held on to
  return status;
}

Status VideoToTensor::process(const Frame& frame, Output& output) {
  if (!preprocessor_ && !device_pass_)
    return fail(ErrorCode::not_negotiated, "a frame came before its format");
  if (places_ > 1) return process_list({&frame, 1}, output);
  if (device_pass_) return process_on_device(frame, output);
  if (auto status = new_tensor(frame, output); !status) return status;
  std::optional<Affine> back;
  {
    auto tensor = map(out_.tensors[0], Access::write);
    if (!tensor) return forward_error(tensor);
    back = write(frame, *tensor, 0);
  }
  if (!back) return output.gap({frame.pts, frame.duration, frame.source});
  return push(frame, *back, output);
}

Status VideoToTensor::process_on_device(const Frame& frame, Output& output) {
  if (auto status = new_tensor(frame, output); !status) return status;
  device_pass_->begin(out_.tensors[0]);
  const Crop part = part_of(frame);
  auto added = part.w > 0 && part.h > 0 && is_agreed(frame) ? device_pass_->add(frame, part, 0) : false;
  if (!added) return forward_error(added);
  if (!*added) return output.gap({frame.pts, frame.duration, frame.source});
  if (auto status = device_pass_->run(); !status) return status;
  const Affine& back = device_pass_->affine(0);
  return push(frame, frame.affine ? concat(back, *frame.affine) : back, output);
}

Status VideoToTensor::process_list(std::span<const Frame> frames, Output& output) {
  if (!preprocessor_ && !device_pass_)
    return fail(ErrorCode::not_negotiated, "a frame came before its format");
  if (places_ == 1) return Transform::process_list(frames, output);
  for (; !frames.empty(); frames = frames.subspan(std::min(frames.size(), places_)))
    if (auto status = fill_batch(frames.first(std::min(frames.size(), places_)), output); !status)
      return status;
  return {};
}

Status VideoToTensor::fill_batch(std::span<const Frame> frames, Output& output) {
  if (auto status = new_tensor(frames.front(), output); !status) return status;
  {
    Mapping tensor;
    if (device_pass_) {
      device_pass_->begin(out_.tensors[0]);
    } else {
      auto mapped = map(out_.tensors[0], Access::write);
      if (!mapped) return forward_error(mapped);
      tensor = *std::move(mapped);
    }
    for (const Frame& frame : frames) {
      Sample sample{.source = frame.source.value_or(SourceId{.pts = frame.pts}),
                    .pts = frame.pts,
                    .duration = frame.duration};
      const size_t place = out_.batch.size();
      std::optional<Affine> back;
      if (!device_pass_) {
        back = write(frame, tensor, place);
      } else if (const Crop part = part_of(frame); part.w > 0 && part.h > 0 && is_agreed(frame)) {
        auto added = device_pass_->add(frame, part, place);
        if (!added) return forward_error(added);
        if (*added) back = frame.affine.value_or(Affine{});  // what the pass adds is known when it has run
      }
      if (!back) {
        // Goes ahead of the batch, so it says in front of which sample it belongs.
        Gap gap{frame.pts, frame.duration, sample.source};
        gap.source->batch_index = -int(place);
        if (auto status = output.gap(gap); !status) return status;
        continue;
      }
      sample.source.batch_index = int(place);
      sample.affine = *back;
      out_.batch.push_back(sample);
    }
  }
  if (out_.batch.empty()) return {};
  if (device_pass_) {
    if (auto status = device_pass_->run(); !status) return status;
    for (size_t i = 0; i < out_.batch.size(); ++i)
      out_.batch[i].affine = concat(device_pass_->affine(i), out_.batch[i].affine);
  }
  out_.pts = out_.batch.front().pts;
  out_.duration = out_.batch.front().duration;
  auto status = output.push(out_);
  out_.clear();
  return status;
}

Status VideoToTensor::drain(Output&) {
  flush();
  return {};
}

void VideoToTensor::flush() {
  if (device_pass_) device_pass_->finish();
}

namespace {

const Registration registration({
    .name = "video_to_tensor",
    .title = "Video to tensor",
    .klass = "Filter/Converter/Video",
    .doc = "Makes the input of a model from a picture in one fused pass, on the CPU or, for pictures in CUDA "
           "memory, on the GPU: crop, resize or letterbox, colour conversion, "
           "normalisation. out = ((v/255·(hi-lo)+lo)/scale - mean)/std, per channel in the order of the "
           "tensor, the "
           "inner bracket only with range. Writes the matrix that leads back to the full frame.",
    .kind = ElementKind::transform,
    .input = {{VideoSpec{all_formats(), {}, {}}, MemoryKind::system},
              {VideoSpec{all_formats(), {}, {}}, MemoryKind::cuda}},
    .output = {{any_tensor(), MemoryKind::system}, {any_tensor(), MemoryKind::cuda}},
    .reads_results = true,
    .params = ParamTable::of<VideoToTensor::Params>({
        param("width", &VideoToTensor::Params::width, "width of the tensor; 0: as downstream has it")
            .range(0, most_pixels)
            .in("px"),
        param("height", &VideoToTensor::Params::height, "height of the tensor; 0: as downstream has it")
            .range(0, most_pixels)
            .in("px"),
        param("color", &VideoToTensor::Params::color,
              "channels of the tensor, in order; auto: rgb, or gray where downstream has one channel")
            .choices({"auto", "rgb", "bgr", "gray"}),
        param("layout", &VideoToTensor::Params::layout, "order of the axes")
            .choices({"auto", "nchw", "nhwc"}),
        param("dtype", &VideoToTensor::Params::dtype, "type of the values; integers are rounded and saturate")
            .choices({"auto", "uint8", "float32", "float16", "int8", "int32"}),
        param("resize", &VideoToTensor::Params::resize, "how the picture is fitted into the tensor")
            .choices({"stretch", "letterbox", "letterbox-topleft", "crop", "none", "fit-height", "multiple"}),
        param("size-multiple", &VideoToTensor::Params::size_multiple,
              "sides are multiples of this (resize=fit-height, multiple)")
            .range(1, 4096)
            .in("px"),
        param("max-width", &VideoToTensor::Params::max_width,
              "width of the tensor with resize=fit-height; 0: as the picture needs")
            .range(0, most_pixels)
            .in("px"),
        param("interpolation", &VideoToTensor::Params::interpolation,
              "how pixels are sampled; auto: bilinear")
            .choices({"auto", "nearest", "bilinear", "bicubic", "area"}),
        param("pad-value", &VideoToTensor::Params::pad_value,
              "colour of borders before normalisation, one value or one per channel")
            .range(0, 255),
        param("range", &VideoToTensor::Params::range, "lo, hi that 0..255 become first"),
        param("mean", &VideoToTensor::Params::mean, "what is subtracted, one value or one per channel"),
        param("std", &VideoToTensor::Params::std, "what is divided by then, one value or one per channel"),
        param("scale", &VideoToTensor::Params::scale, "divisor before mean").range(1e-9, 1e9),
        param("roi-expand", &VideoToTensor::Params::roi_expand,
              "regions are grown this many times about their centre; with resize=crop below 1 it is the part "
              "of the short side that is kept, of whole pictures as well")
            .range(0.1, 10),
        param("threads", &VideoToTensor::Params::threads,
              "most threads for one frame; 0: auto, which is one"),
    }),
    .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
      return std::make_unique<VideoToTensor>(params.as<VideoToTensor::Params>());
    },
});

}  // namespace
}  // namespace sightglass
