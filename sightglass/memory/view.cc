#include "sightglass/memory/view.h"

namespace sightglass {
namespace {

// Kinds whose handle stands for the whole: a view would still show all of it.
bool is_indivisible(MemoryKind kind) {
  switch (kind) {
    case MemoryKind::system:
    case MemoryKind::dmabuf:
    case MemoryKind::cuda:
    case MemoryKind::shm:
    case MemoryKind::opencl:
    case MemoryKind::opencv:
      return false;
    default:
      return true;
  }
}

}  // namespace

Result<Frame> view_of(const Frame& frame, const Crop& crop) {
  if (!frame.video) return fail(ErrorCode::invalid_argument, "only a picture can be cropped");
  const VideoInfo& video = *frame.video;
  if (frame.tensors.size() != plane_count(video.format))
    return fail(ErrorCode::invalid_argument, "{} has {} planes, the frame has {}", to_string(video.format),
                plane_count(video.format), frame.tensors.size());
  const bool inside = crop.x >= 0 && crop.y >= 0 && crop.w > 0 && crop.h > 0 && crop.w <= video.width &&
                      crop.h <= video.height && crop.x <= video.width - crop.w &&
                      crop.y <= video.height - crop.h;
  if (!inside)
    return fail(ErrorCode::invalid_argument, "the part {}x{} at {},{} does not lie within a picture of {}x{}",
                crop.w, crop.h, crop.x, crop.y, video.width, video.height);

  Frame view;
  view.video = video;
  view.video->width = crop.w;
  view.video->height = crop.h;
  view.pts = frame.pts;
  view.duration = frame.duration;
  view.source = frame.source;
  for (size_t plane = 0; plane < frame.tensors.size(); ++plane) {
    const PlaneLayout layout = plane_layout(video.format, plane);
    Tensor tensor = frame.tensors[plane];
    if (tensor.memory && is_indivisible(tensor.memory->kind()))
      return fail(ErrorCode::unsupported,
                  "{} memory cannot be cropped without a copy; map it to system memory first",
                  to_string(tensor.memory->kind()));
    if (((crop.x >> layout.shift_x) << layout.shift_x) != crop.x ||
        ((crop.y >> layout.shift_y) << layout.shift_y) != crop.y)
      return fail(ErrorCode::invalid_argument,
                  "{} can only be cropped from multiples of {},{} on, not from {},{}",
                  to_string(video.format), 1 << layout.shift_x, 1 << layout.shift_y, crop.x, crop.y);
    if (tensor.shape.rank() != 2)
      return fail(ErrorCode::invalid_argument, "a plane has two axes, not {}", tensor.shape.rank());
    const int64_t x = int64_t(crop.x >> layout.shift_x) * layout.pixel_bytes, y = crop.y >> layout.shift_y;
    tensor.offset += size_t(y * tensor.strides[0] + x * tensor.strides[1]);
    tensor.shape = {plane_height(*view.video, plane),
                    int64_t(plane_width(*view.video, plane)) * layout.pixel_bytes};
    view.tensors.push_back(std::move(tensor));
  }
  return view;
}

}  // namespace sightglass
