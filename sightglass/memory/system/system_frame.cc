#include "sightglass/memory/system/system_frame.h"

#include <cstring>

#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {
namespace {

size_t round_up(size_t size, size_t multiple) { return (size + multiple - 1) / multiple * multiple; }

void copy_axis(const Mapping& from, const Mapping& to, size_t axis, const std::byte* source,
               std::byte* target) {
  const Shape& shape = from.shape();
  const size_t size = size_of(from.type());
  if (axis == shape.rank()) {
    std::memcpy(target, source, size);
    return;
  }
  const int64_t from_stride = from.strides()[axis], to_stride = to.strides()[axis];
  const bool last = axis + 1 == shape.rank();
  if (last && from_stride == int64_t(size) && to_stride == int64_t(size)) {
    std::memcpy(target, source, size * size_t(shape[axis]));
    return;
  }
  for (int64_t i = 0; i < shape[axis]; ++i)
    copy_axis(from, to, axis + 1, source + i * from_stride, target + i * to_stride);
}

}  // namespace

FrameLayout FrameLayout::of(const VideoInfo& video, size_t alignment) {
  FrameLayout layout;
  for (size_t plane = 0; plane < plane_count(video.format); ++plane) {
    layout.offset[plane] = layout.bytes;
    layout.stride[plane] = round_up(
        size_t(plane_width(video, plane)) * plane_layout(video.format, plane).pixel_bytes, alignment);
    layout.bytes = round_up(layout.bytes + layout.stride[plane] * size_t(plane_height(video, plane)), 64);
  }
  return layout;
}

Frame frame_in(MemoryRef memory, const VideoInfo& video, const FrameLayout& layout, size_t offset) {
  Frame frame;
  frame.video = video;
  for (size_t plane = 0; plane < plane_count(video.format); ++plane) {
    Tensor& tensor = frame.tensors.emplace_back();
    tensor.memory = memory;
    tensor.offset = offset + layout.offset[plane];
    tensor.layout = Layout::hw;
    tensor.shape = {plane_height(video, plane),
                    int64_t(plane_width(video, plane)) * plane_layout(video.format, plane).pixel_bytes};
    tensor.strides = {int64_t(layout.stride[plane]), 1};
  }
  return frame;
}

Result<Frame> allocate_frame(const VideoInfo& video, size_t alignment) {
  if (video.width <= 0 || video.height <= 0)
    return fail(ErrorCode::invalid_argument, "a picture of {}x{} pixels cannot be", video.width,
                video.height);
  const auto layout = FrameLayout::of(video, alignment);
  auto memory = allocate_memory(layout.bytes);
  if (!memory) return forward_error(memory);
  return frame_in(*memory, video, layout);
}

Status copy_tensor(const Tensor& from, const Tensor& to) {
  if (from.type != to.type || from.shape != to.shape)
    return fail(ErrorCode::invalid_argument, "{} {} cannot be copied to {} {}", to_string(from.type),
                from.shape.to_string(), to_string(to.type), to.shape.to_string());
  auto source = map(from, Access::read);
  if (!source) return forward_error(source);
  auto target = map(to, Access::write);
  if (!target) return forward_error(target);
  if (source->dense() && target->dense())
    std::memcpy(target->data(), source->data(), source->bytes());
  else if (from.shape.elements() > 0)
    copy_axis(*source, *target, 0, source->data(), target->data());
  return {};
}

Status copy_content(const Frame& from, const Frame& to) {
  if (from.tensors.size() != to.tensors.size())
    return fail(ErrorCode::invalid_argument, "{} tensors cannot be copied to {}", from.tensors.size(),
                to.tensors.size());
  for (size_t i = 0; i < from.tensors.size(); ++i)
    if (auto status = copy_tensor(from.tensors[i], to.tensors[i]); !status) return status;
  return {};
}

size_t content_bytes(const Frame& frame) {
  size_t bytes = 0;
  for (const Tensor& tensor : frame.tensors)
    bytes += size_t(std::max<int64_t>(0, tensor.shape.elements())) * size_of(tensor.type);
  return bytes;
}

}  // namespace sightglass
