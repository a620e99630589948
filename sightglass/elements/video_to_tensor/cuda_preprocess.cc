#include "sightglass/elements/video_to_tensor/cuda_preprocess.h"

#include <algorithm>
#include <mutex>
#include <string>
#include <utility>

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

Result<CudaPreprocessPlan> CudaPreprocessPlan::make(const VideoInfo& video,
                                                    const PreprocessOptions& options) {
  if (auto status = preprocess::check(video, options); !status) return forward_error(status);
  if (options.interpolation != Interpolation::bilinear && options.interpolation != Interpolation::nearest)
    return fail(ErrorCode::unsupported, "on CUDA pictures are sampled bilinear or nearest only");
  CudaPreprocessPlan plan;
  // The samples of p010 are found as those of NV12 are, with two bytes each.
  const bool wide = video.format == PixelFormat::p010;
  plan.parts_ = preprocess::components(wide ? PixelFormat::nv12 : video.format);
  if (plan.parts_.empty())
    return fail(ErrorCode::unsupported, "on CUDA pictures cannot be {}", to_string(video.format));
  plan.kernel_ = kernel_name(video.format, options.type);
  plan.video_ = video;
  plan.video_.frame_rate = {0, 1};
  plan.options_ = options;

  cuda::Batch& batch = plan.batch_;
  batch.width = options.canvas.width, batch.height = options.canvas.height;
  batch.picture_width = plane_width(video, 0), batch.picture_height = plane_height(video, 0);
  batch.parts = int(plan.parts_.size());
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
  return plan;
}

cuda::Task CudaPreprocessPlan::task(Item& item) const {
  const Placement placement = place(options_.rule, video_.pixel_aspect, item.crop, options_.canvas);
  item.affine = affine(placement, video_);
  cuda::Task task{};
  for (size_t c = 0; c < parts_.size(); ++c) {
    const auto& part = parts_[c];
    task.parts[c] = {.data = reinterpret_cast<const unsigned char*>(item.planes[part.plane]) + part.offset,
                     .stride = item.strides[part.plane],
                     .step = plane_layout(video_.format, part.plane).pixel_bytes};
  }
  task.x = axis(placement.x), task.y = axis(placement.y);
  task.out = reinterpret_cast<void*>(item.slot);
  return task;
}

cuda::Batch CudaPreprocessPlan::batch(const SlotLayout& layout) const {
  cuda::Batch batch = batch_;
  batch.row_stride = layout.row, batch.pixel_stride = layout.pixel, batch.value_stride = layout.channel;
  return batch;
}

LaunchSize CudaPreprocessPlan::launch_size(size_t tasks) const {
  return {.grid = {blocks(batch_.width, block_width * values_per_thread), blocks(batch_.height, block_height),
                   unsigned(tasks)},
          .block = {block_width, block_height, 1}};
}

Result<std::shared_ptr<const CudaPreprocessor>> CudaPreprocessor::shared(const ContextRef& context,
                                                                         const VideoInfo& video,
                                                                         const PreprocessOptions& options) {
  auto plan = CudaPreprocessPlan::make(video, options);
  if (!plan) return forward_error(plan);
  auto module = CudaModule::load(context, video_to_tensor_kernels);
  if (!module) return forward_error(module);
  auto kernel = (*module)->kernel(plan->kernel().c_str());
  if (!kernel) return forward_error(kernel);
  static std::mutex mutex;
  static std::vector<std::weak_ptr<const CudaPreprocessor>>& all =
      *new std::vector<std::weak_ptr<const CudaPreprocessor>>;
  const std::lock_guard lock(mutex);
  std::erase_if(all, [](const auto& one) { return one.expired(); });
  for (const auto& one : all)
    if (auto known = one.lock(); known && known->module_ == *module && known->plan_ == *plan) return known;
  std::shared_ptr<const CudaPreprocessor> made(
      new CudaPreprocessor(*std::move(module), *kernel, *std::move(plan)));
  all.push_back(made);
  return made;
}

Status CudaPreprocessor::run(std::span<Item> items, const SlotLayout& layout, CUstream_st* stream) const {
  return run(items.size(), [&](size_t i) { return plan_.task(items[i]); }, layout, stream);
}

}  // namespace sightglass
