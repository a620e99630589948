#include "sightglass/elements/video_to_tensor/cuda_preprocess.h"

#include <algorithm>
#include <string>
#include <utility>

#include "sightglass/elements/video_to_tensor/channel_math.h"
#include "sightglass/elements/video_to_tensor/cuda_kernel.h"
#include "sightglass/memory/cuda/cuda_module.h"

namespace sightglass {

extern const CudaSource video_to_tensor_kernels;  // made from cuda_kernel.cu

namespace {

constexpr unsigned block_width = 32, block_height = 8, values_per_thread = 4;

std::string kernel_name(PixelFormat format, DataType type) {
  const std::string_view kind = format == PixelFormat::nv12   ? "nv12"
                                : format == PixelFormat::p010 ? "p010"
                                                              : "any";
  const std::string_view value = type == DataType::u8    ? "u8"
                                 : type == DataType::i8  ? "i8"
                                 : type == DataType::i32 ? "i32"
                                 : type == DataType::f16 ? "f16"
                                                         : "f32";
  return std::string("preprocess_").append(kind).append("_").append(value);
}

cuda::Axis axis(const AxisMap& map) {
  const double step = double(map.length) / map.scaled;
  return {.offset = float(map.begin + (map.skip + 0.5) * step - 0.5),
          .step = float(step),
          .first = float(map.begin),
          .last = float(map.begin + map.length - 1),
          .at = map.at,
          .count = map.count};
}

unsigned blocks(int outputs, unsigned per_block) { return (unsigned(outputs) + per_block - 1) / per_block; }

}  // namespace

struct CudaPreprocessor::State {
  ContextRef context;
  VideoInfo video;
  PreprocessOptions options;
  Ref<CudaModule> module;
  CUfunc_st* kernel = nullptr;
  std::vector<preprocess::Component> parts;
  cuda::Batch batch{};
};

CudaPreprocessor::CudaPreprocessor(std::unique_ptr<State> state) : state_(std::move(state)) {}
CudaPreprocessor::~CudaPreprocessor() = default;
std::string_view CudaPreprocessor::kernels() const { return state_->module->origin(); }

Result<std::unique_ptr<CudaPreprocessor>> CudaPreprocessor::make(const ContextRef& context,
                                                                 const VideoInfo& video,
                                                                 const PreprocessOptions& options) {
  if (auto status = preprocess::check(video, options); !status) return forward_error(status);
  if (options.interpolation != Interpolation::bilinear && options.interpolation != Interpolation::nearest)
    return fail(ErrorCode::unsupported, "on CUDA pictures are sampled bilinear or nearest only");
  auto state = std::make_unique<State>();
  // The samples of p010 are found as those of NV12 are, with two bytes each.
  const bool wide = video.format == PixelFormat::p010;
  state->parts = preprocess::components(wide ? PixelFormat::nv12 : video.format);
  if (state->parts.empty())
    return fail(ErrorCode::unsupported, "on CUDA pictures cannot be {}", to_string(video.format));
  auto module = CudaModule::load(context, video_to_tensor_kernels);
  if (!module) return forward_error(module);
  auto kernel = (*module)->kernel(kernel_name(video.format, options.type).c_str());
  if (!kernel) return forward_error(kernel);
  state->context = (*module)->context();
  state->module = std::move(*module);
  state->kernel = *kernel;
  state->video = video;
  state->options = options;

  cuda::Batch& batch = state->batch;
  batch.width = options.canvas.width, batch.height = options.canvas.height;
  batch.picture_width = plane_width(video, 0), batch.picture_height = plane_height(video, 0);
  batch.parts = int(state->parts.size());
  batch.is_yuv = is_yuv(video.format);
  if (batch.is_yuv) {
    const PlaneLayout chroma = plane_layout(video.format, 1);
    batch.chroma_width = plane_width(video, 1), batch.chroma_height = plane_height(video, 1);
    batch.shift_x = chroma.shift_x, batch.shift_y = chroma.shift_y;
    const auto c = preprocess::yuv_coefficients(video.matrix, video.full_range);
    batch.y_gain = float(c.y_gain), batch.y_black = float(c.y_black), batch.red_v = float(c.red_v);
    batch.green_u = float(c.green_u), batch.green_v = float(c.green_v), batch.blue_u = float(c.blue_u);
  }
  batch.nearest = options.interpolation == Interpolation::nearest;
  batch.gray = options.channels == ChannelOrder::gray;
  batch.blue_first = options.channels == ChannelOrder::bgr;
  const auto scales = preprocess::channel_scales(options);
  for (size_t c = 0; c < 3; ++c) {
    batch.mul[c] = float(scales.mul[c]), batch.add[c] = float(scales.add[c]);
    batch.pad[c] = float(std::clamp(scales.pad[c], 0.0, 255.0) * scales.mul[c] + scales.add[c]);
  }
  return std::unique_ptr<CudaPreprocessor>(new CudaPreprocessor(std::move(state)));
}

Status CudaPreprocessor::run(std::span<Item> items, const SlotLayout& layout, CUstream_st* stream) {
  State& s = *state_;
  cuda::Batch& batch = s.batch;
  batch.row_stride = layout.row, batch.pixel_stride = layout.pixel, batch.value_stride = layout.channel;
  while (!items.empty()) {
    const size_t count = std::min<size_t>(items.size(), cuda::most_tasks);
    for (size_t i = 0; i < count; ++i) {
      Item& item = items[i];
      const Placement placement = place(s.options.rule, s.video.pixel_aspect, item.crop, s.options.canvas);
      item.affine = affine(placement, s.video);
      cuda::Task& task = batch.task[i];
      for (size_t c = 0; c < s.parts.size(); ++c) {
        const auto& part = s.parts[c];
        task.parts[c] = {
            .data = reinterpret_cast<const unsigned char*>(item.planes[part.plane]) + part.offset,
            .stride = item.strides[part.plane],
            .step = plane_layout(s.video.format, part.plane).pixel_bytes};
      }
      task.x = axis(placement.x), task.y = axis(placement.y);
      task.out = reinterpret_cast<void*>(item.slot);
    }
    batch.tasks = int(count);
    const LaunchSize size{.grid = {blocks(batch.width, block_width * values_per_thread),
                                   blocks(batch.height, block_height), unsigned(count)},
                          .block = {block_width, block_height, 1}};
    if (auto status = launch(s.context, s.kernel, size, stream, &batch); !status) return status;
    items = items.subspan(count);
  }
  return {};
}

}  // namespace sightglass
