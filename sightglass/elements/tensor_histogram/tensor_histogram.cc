#include "sightglass/elements/tensor_histogram/tensor_histogram.h"

#include <algorithm>
#include <cmath>

#include "sightglass/core/registry.h"
#include "sightglass/memory/mapping.h"

namespace sightglass {
namespace {

// A feature of more values than that is a mistake rather than a feature.
constexpr int64_t most_values = 1 << 22;

bool axis_agrees(int64_t mine, int64_t theirs) { return mine < 0 || theirs < 0 || mine == theirs; }

bool agree(const TensorSpec& mine, const TensorSpec& theirs) {
  if (!theirs.types.empty() && !std::ranges::contains(theirs.types, mine.types[0])) return false;
  if (theirs.layout != Layout::any && mine.layout != Layout::any && theirs.layout != mine.layout)
    return false;
  if (theirs.shape.empty()) return true;
  return std::ranges::equal(mine.shape, theirs.shape, axis_agrees);
}

bool is_cpu(const std::string& device) {
  std::string name = device;
  for (char& c : name)
    if (c >= 'a' && c <= 'z') c = char(c - 'a' + 'A');
  return name.empty() || name == "CPU" || name == "AUTO";
}

}  // namespace

Status TensorHistogram::start() {
  if (!is_cpu(params_.device))
    return fail(ErrorCode::unavailable,
                "device={} is not usable: no histogram kernel for it in this version; usable: CPU",
                params_.device);
  const Params& p = params_;
  if (p.width < p.num_slices_x || p.height < p.num_slices_y)
    return fail(ErrorCode::invalid_argument, "{}x{} slices do not fit into a picture of {}x{}",
                p.num_slices_x, p.num_slices_y, p.width, p.height);
  if (histogram().shape.back() > most_values)
    return fail(ErrorCode::invalid_argument,
                "num-bins={} and {}x{} slices make {} values; at most {} are possible", p.num_bins,
                p.num_slices_x, p.num_slices_y, histogram().shape.back(), most_values);

  const int w = p.width / p.num_slices_x, h = p.height / p.num_slices_y;
  weights_.clear();
  double sum = 0;
  for (int y = 0; y < h; ++y)
    for (int x = 0; x < w; ++x) {
      const double dx = (x + 0.5 - w / 2.0) / (w / 2.0), dy = (y + 0.5 - h / 2.0) / (h / 2.0);
      weights_.push_back(float(std::exp(-(dx * dx + dy * dy) / 2)));
      sum += double(weights_.back());
    }
  for (float& weight : weights_) weight = float(double(weight) / sum);

  steps_.clear();
  for (int channel = 0; channel < 3; ++channel) {
    const int step = channel == 0 ? p.num_bins * p.num_bins : channel == 1 ? p.num_bins : 1;
    for (int value = 0; value < 256; ++value) steps_.push_back(uint32_t(value * p.num_bins / 256 * step));
  }
  return {};
}

TensorHistogram::Axes TensorHistogram::axes_of(Layout layout) {
  switch (layout) {
    case Layout::nchw:
      return {0, 2, 3, 1};
    case Layout::chw:
      return {-1, 1, 2, 0};
    case Layout::hwc:
      return {-1, 0, 1, 2};
    default:
      return {0, 1, 2, 3};
  }
}

TensorSpec TensorHistogram::picture(Layout layout, int channels) const {
  const Axes axes = axes_of(layout);
  TensorSpec spec{.types = {DataType::u8}, .layout = layout};
  for (size_t axis = 0; axis < (axes.sample < 0 ? 3u : 4u); ++axis) spec.shape.push_back(0);
  if (axes.sample >= 0) spec.shape[0] = params_.batch_size > 0 ? params_.batch_size : -1;
  spec.shape[size_t(axes.row)] = params_.height;
  spec.shape[size_t(axes.column)] = params_.width;
  spec.shape[size_t(axes.channel)] = channels;
  return spec;
}

std::vector<TensorSpec> TensorHistogram::pictures() const {
  std::vector<TensorSpec> specs = {picture(Layout::nhwc, 3), picture(Layout::nhwc, 4),
                                   picture(Layout::nchw, 3), picture(Layout::nchw, 4)};
  if (params_.batch_size <= 1)
    for (const Layout layout : {Layout::hwc, Layout::chw})
      for (const int channels : {3, 4}) specs.push_back(picture(layout, channels));
  return specs;
}

TensorSpec TensorHistogram::histogram() const {
  const int64_t bins = params_.num_bins;
  return {.types = {DataType::f32},
          .shape = {params_.batch_size > 0 ? params_.batch_size : -1,
                    bins * bins * bins * params_.num_slices_x * params_.num_slices_y},
          .layout = Layout::nc};
}

std::vector<FormatSpec> TensorHistogram::transform_format(Direction from, const FormatSpec& spec) const {
  if (spec.memory != MemoryKind::system || std::holds_alternative<VideoSpec>(spec.media)) return {};
  const auto* tensors = std::get_if<TensorsSpec>(&spec.media);
  const TensorSpec* theirs = nullptr;
  if (tensors && !tensors->tensors.empty()) {
    if (tensors->tensors.size() != 1) return {};
    theirs = tensors->tensors.data();
  }
  if (from == Direction::output) {
    if (theirs && !agree(histogram(), *theirs)) return {};
    std::vector<FormatSpec> offers;
    for (TensorSpec& wanted : pictures())
      offers.push_back({TensorsSpec{{std::move(wanted)}}, MemoryKind::system});
    return offers;
  }
  TensorSpec made = histogram();
  if (theirs) {
    const auto mine = pictures();
    const auto fits = [&](const TensorSpec& wanted) { return agree(wanted, *theirs); };
    if (std::ranges::none_of(mine, fits)) return {};
    if (params_.batch_size == 0 && theirs->shape.rank() == 4) made.shape[0] = theirs->shape[0];
    if (params_.batch_size == 0 && theirs->shape.rank() == 3) made.shape[0] = 1;
  }
  return {{TensorsSpec{{std::move(made)}}, MemoryKind::system}};
}

Status TensorHistogram::configure(const Format& input, const Format&) {
  const TensorsInfo* tensors = input.tensors();
  if (tensors && tensors->tensors.size() == 1 && tensors->tensors[0].type == DataType::u8) {
    const TensorInfo& tensor = tensors->tensors[0];
    for (const TensorSpec& wanted : pictures())
      if (tensor.shape.fixed() && agree(wanted, {.shape = tensor.shape, .layout = tensor.layout})) {
        axes_ = axes_of(wanted.layout);
        return {};
      }
  }
  return fail(ErrorCode::not_negotiated, "wants one uint8 tensor of {}x{} with 3 or 4 channels, not {}",
              params_.width, params_.height, to_string(input));
}

void TensorHistogram::count(const uint8_t* sample, const Shape& strides, float* bins) const {
  const int w = params_.width / params_.num_slices_x, h = params_.height / params_.num_slices_y;
  const int64_t row_step = strides[size_t(axes_.row)], step = strides[size_t(axes_.column)],
                channel = strides[size_t(axes_.channel)];
  const uint32_t *first = steps_.data(), *second = first + 256, *third = second + 256;
  const size_t per_slice =
      size_t(histogram().shape.back()) / size_t(params_.num_slices_x) / size_t(params_.num_slices_y);
  for (int slice_y = 0; slice_y < params_.num_slices_y; ++slice_y)
    for (int slice_x = 0; slice_x < params_.num_slices_x; ++slice_x, bins += per_slice)
      for (int y = 0; y < h; ++y) {
        const uint8_t* pixel = sample + (slice_y * h + y) * row_step + slice_x * w * step;
        const float* weight = weights_.data() + size_t(y) * size_t(w);
        for (int x = 0; x < w; ++x, pixel += step)
          bins[first[pixel[0]] + second[pixel[channel]] + third[pixel[2 * channel]]] += weight[x];
      }
}

Status TensorHistogram::process(const Frame& frame, Output& output) {
  if (frame.tensors.size() != 1)
    return fail(ErrorCode::corrupt, "{} tensors, but one was agreed", frame.tensors.size());
  result_.pts = frame.pts;
  result_.duration = frame.duration;
  result_.affine = frame.affine;
  result_.source = frame.source;
  result_.batch = frame.batch;
  if (auto allocated = output.allocate(result_); !allocated) return allocated;
  auto from = map(frame.tensors[0], Access::read);
  if (!from) return forward_error(from);
  auto to = map(result_.tensors[0], Access::write);
  if (!to) return forward_error(to);
  const size_t rank = axes_.sample < 0 ? 3 : 4;
  const int64_t samples = axes_.sample < 0 ? 1 : from->shape()[0];
  const bool fits = from->type() == DataType::u8 && from->shape().rank() == rank &&
                    from->shape()[size_t(axes_.row)] == params_.height &&
                    from->shape()[size_t(axes_.column)] == params_.width &&
                    from->shape()[size_t(axes_.channel)] >= 3 && to->type() == DataType::f32 && to->dense() &&
                    to->shape().elements() == samples * histogram().shape.back();
  if (!fits)
    return fail(ErrorCode::corrupt, "a tensor {} where {} was agreed", from->shape().to_string(),
                picture(Layout::nhwc, 3).shape.to_string());
  const std::span<float> bins = to->as<float>();
  std::ranges::fill(bins, 0.0f);
  const size_t length = bins.size() / size_t(std::max<int64_t>(samples, 1));
  for (int64_t i = 0; i < samples; ++i)
    count(reinterpret_cast<const uint8_t*>(from->data()) + (axes_.sample < 0 ? 0 : i * from->strides()[0]),
          from->strides(), bins.data() + size_t(i) * length);
  from->reset();
  to->reset();
  auto sent = output.push(result_);
  result_.tensors.clear();
  return sent;
}

namespace {

using Params = TensorHistogram::Params;

const Registration registration({
    .name = "tensor_histogram",
    .title = "Colour histogram",
    .klass = "Filter/Analyzer",
    .doc =
        "Describes a picture by the distribution of its colours, so that a tracker can tell objects apart.",
    .kind = ElementKind::transform,
    .input = {{TensorsSpec{{{.types = {DataType::u8}}}}}},
    .output = {{TensorsSpec{{{.types = {DataType::f32}}}}}},
    .params = ParamTable::of<Params>({
        param("width", &Params::width, "width of the picture").range(1, 4096).in("px"),
        param("height", &Params::height, "height of the picture").range(1, 4096).in("px"),
        param("num-slices-x", &Params::num_slices_x, "parts beside each other, a histogram for each")
            .range(1, 64),
        param("num-slices-y", &Params::num_slices_y, "parts below each other, a histogram for each")
            .range(1, 64),
        param("num-bins", &Params::num_bins, "steps of each of the three channels").range(1, 64),
        param("batch-size", &Params::batch_size, "pictures in a tensor; 0: any number").range(0, 1024),
        param("device", &Params::device, "where to compute; empty: CPU"),
    }),
    .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
      return std::make_unique<TensorHistogram>(params.as<Params>());
    },
});

}  // namespace
}  // namespace sightglass
