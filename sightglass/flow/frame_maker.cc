#include "sightglass/flow/frame_maker.h"

#include <utility>

#include "sightglass/flow/node.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/system/system_memory.h"
#include "sightglass/memory/system/system_memory_pool.h"

namespace sightglass::flow {

void FrameMaker::set_format(const Format& format) {
  format_ = format;
  pool_ = nullptr;
  asked_at_ = 0;
  bytes_ = 0;
  if (const auto* video = format.video()) {
    layout_ = FrameLayout::of(*video);
    bytes_ = layout_.bytes;
  } else if (const auto* tensors = format.tensors()) {
    for (const auto& info : tensors->tensors) bytes_ += info.bytes();
  }
}

Status FrameMaker::make(RunState& run, Port* next, uint64_t stream, Frame& frame, const Context* device) {
  if (bytes_ == 0) return fail(ErrorCode::not_negotiated, "the output has no fixed size");
  const uint64_t now = run.configured.load(std::memory_order_acquire);
  if (now != asked_at_ || device != device_) {
    if (std::exchange(device_, device) != device) pool_ = nullptr;
    asked_at_ = now;
    auto theirs = next ? next->pool(stream) : nullptr;
    if (theirs && theirs->block_size() >= bytes_)
      pool_ = std::move(theirs);
    else if (format_.memory == MemoryKind::cuda) {
      if (!pool_ || pool_->block_size() != bytes_) {
        auto on_device = make_cuda_pool(ContextRef(const_cast<Context*>(device)), bytes_);
        if (!on_device) return forward_error(on_device);
        pool_ = *std::move(on_device);
      }
    } else if (format_.memory != MemoryKind::system)
      pool_ = nullptr;
    else if (!pool_ || pool_->block_size() != bytes_)
      pool_ = make_ref<SystemMemoryPool>(SystemMemoryPool::Options{.block_size = bytes_});
  }
  if (!pool_)
    return fail(ErrorCode::unavailable, "nothing here makes {}; the element has to bring memory of its own",
                to_string(format_));
  auto block = pool_->acquire();
  if (!block) return forward_error(block);
  made_ = block->get();
  frame.tensors.clear();
  frame.video.reset();
  if (const auto* video = format_.video()) {
    frame.video = *video;
    for (size_t plane = 0; plane < plane_count(video->format); ++plane) {
      const int64_t row =
          int64_t(plane_width(*video, plane)) * plane_layout(video->format, plane).pixel_bytes;
      const TensorInfo info{.type = DataType::u8,
                            .shape = {plane_height(*video, plane), row},
                            .strides = {int64_t(layout_.stride[plane]), 1},
                            .layout = Layout::hw};
      frame.tensors.push_back(tensor_in(*block, info, layout_.offset[plane]));
    }
    return {};
  }
  size_t offset = 0;
  for (const auto& info : format_.tensors()->tensors) {
    frame.tensors.push_back(tensor_in(*block, info, offset));
    offset += info.bytes();
  }
  return {};
}

}  // namespace sightglass::flow
