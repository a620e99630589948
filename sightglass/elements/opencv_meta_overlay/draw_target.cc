#include "sightglass/elements/opencv_meta_overlay/draw_target.h"

#include <utility>

namespace sightglass {
namespace {

Status check_planes(const Frame& frame) {
  const VideoInfo& video = *frame.video;
  const size_t count = plane_count(video.format);
  if (frame.tensors.size() < count || video.width < 1 || video.height < 1)
    return fail(ErrorCode::corrupt, "the frame is no {} picture of {}x{}", to_string(video.format),
                video.width, video.height);
  for (size_t i = 0; i < count; ++i) {
    const Tensor& tensor = frame.tensors[i];
    const int64_t row = int64_t(plane_width(video, i)) * plane_layout(video.format, i).pixel_bytes;
    if (!tensor.memory || tensor.shape.rank() < 2 || tensor.shape[0] < plane_height(video, i) ||
        tensor.shape[1] * tensor.strides[1] < row)
      return fail(ErrorCode::corrupt, "plane {} is smaller than its picture of {}x{}", i, video.width,
                  video.height);
  }
  return {};
}

}  // namespace

Status DrawTarget::prepare(MemoryKind memory) {
  return memory == MemoryKind::cuda && !cuda_canvas_ ? open_cuda(nullptr) : Status();
}

Status DrawTarget::open_cuda(const ContextRef& context) {
  cuda_canvas_.reset();
  auto canvas = CudaCanvas::make(context);
  if (!canvas) return forward_error(canvas);
  cuda_canvas_ = *std::move(canvas);
  return {};
}

Result<Painter*> DrawTarget::open(const Frame& frame) {
  if (auto status = check_planes(frame); !status) return forward_error(status);
  const MemoryRef& memory = frame.tensors[0].memory;
  if (memory->kind() == MemoryKind::cuda) {
    const Context* device = memory->context();
    if (!cuda_canvas_ || (device && !cuda_canvas_->is_for(*device)))
      if (auto status = open_cuda(ContextRef(const_cast<Context*>(device))); !status)
        return forward_error(status);
    if (auto status = cuda_canvas_->open(frame); !status) return forward_error(status);
    is_on_device_ = true;
    return cuda_canvas_.get();
  }
  std::array<Canvas::Plane, 4> planes;
  const size_t count = plane_count(frame.video->format);
  mappings_.clear();
  for (size_t i = 0; i < count; ++i) {
    auto mapping = map(frame.tensors[i], Access::read_write);
    if (!mapping) return forward_error(mapping);
    planes[i] = {mapping->data(), mapping->strides()[0]};
    mappings_.push_back(std::move(*mapping));
  }
  canvas_.open(*frame.video, std::span(planes).first(count));
  return &canvas_;
}

Status DrawTarget::close() {
  mappings_.clear();
  return std::exchange(is_on_device_, false) ? cuda_canvas_->close() : Status();
}

}  // namespace sightglass
