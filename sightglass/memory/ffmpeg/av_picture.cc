#include "sightglass/memory/ffmpeg/av_picture.h"

extern "C" {
#include <libavutil/buffer.h>
#include <libavutil/pixdesc.h>
}

#include <climits>
#include <utility>

#include "sightglass/memory/ffmpeg/pixel_formats.h"

namespace sightglass {

// The blocks are part of their picture and hold it while they are in use.
class AvPicture::AvBlock final : public Memory {
 public:
  AvBlock() : Memory(MemoryKind::ffmpeg, 0) {}
  void hold(std::byte* data, size_t size, Ref<AvPicture> home) {
    data_ = data;
    hold_other_bytes(size);
    home_ = std::move(home);
  }
  AVFrame* av() const { return &home_->av(); }

  Result<std::byte*> map(Access) override { return data_; }
  void unmap(Access) override {}

 private:
  void dispose() noexcept override { const Ref<AvPicture> last = std::move(home_); }

  std::byte* data_ = nullptr;
  Ref<AvPicture> home_;
};

class AvPicture::SystemBlock final : public SystemMemory {
 public:
  SystemBlock() : SystemMemory(nullptr, 0) {}
  void hold(std::byte* data, size_t size, Ref<AvPicture> home) {
    point_to(data);
    hold_other_bytes(size);
    home_ = std::move(home);
  }
  bool writable() const override { return home_->writable(); }

  Result<std::byte*> map(Access access) override {
    if (access != Access::read && !writable())
      return fail(ErrorCode::invalid_argument,
                  "the picture is still read by its decoder and cannot be written to; copy it first");
    return SystemMemory::map(access);
  }

 private:
  void dispose() noexcept override {
    set_fence(nullptr);
    const Ref<AvPicture> last = std::move(home_);
  }

  Ref<AvPicture> home_;
};

struct AvPicture::Blocks {
  std::array<AvBlock, 3> av;
  std::array<SystemBlock, 3> system;
};

AvPicture::AvPicture() : frame_(av_frame_alloc()), blocks_(std::make_unique<Blocks>()) {
  if (!frame_) throw std::bad_alloc();
}

AvPicture::~AvPicture() { av_frame_free(&frame_); }

void AvPicture::dispose() noexcept {
  av_frame_unref(frame_);
  const Ref<AvPicturePool> home = std::move(pool_);  // may be the pool's last reference
  if (!home) {
    delete this;
    return;
  }
  std::lock_guard lock(home->mutex_);
  next_ = std::exchange(home->free_, this);
}

AvPicturePool::~AvPicturePool() {
  while (free_) {
    AvPicture* const last = std::exchange(free_, free_->next_);
    const Ref<AvPicture> dropped(last);  // without a pool it deletes itself
  }
}

Ref<AvPicture> AvPicturePool::take() {
  AvPicture* picture = nullptr;
  {
    std::lock_guard lock(mutex_);
    picture = free_;
    if (picture) free_ = std::exchange(picture->next_, nullptr);
  }
  if (!picture) picture = new AvPicture;
  picture->pool_ = Ref<AvPicturePool>(this);
  return Ref<AvPicture>(picture);
}

void AvPicture::apply_crop(std::optional<Crop>& crop) {
  AVFrame& av = *frame_;
  if (!(av.crop_left | av.crop_right | av.crop_top | av.crop_bottom)) return;
  const AVPixFmtDescriptor* desc = av_pix_fmt_desc_get(AVPixelFormat(av.format));
  if (av.crop_left % (size_t(1) << desc->log2_chroma_w) || av.crop_top % (size_t(1) << desc->log2_chroma_h)) {
    crop = Crop{int(av.crop_left), int(av.crop_top), av.width - int(av.crop_left + av.crop_right),
                av.height - int(av.crop_top + av.crop_bottom)};
    av.crop_left = av.crop_right = av.crop_top = av.crop_bottom = 0;
    return;
  }
  av_frame_apply_cropping(&av, AV_FRAME_CROP_UNALIGNED);
}

Status AvPicture::show(const VideoInfo& video, MemoryKind kind, Frame& frame) {
  const size_t planes = plane_count(video.format);
  const auto order = plane_order(video.format);
  std::array<MemoryRef, 3> blocks;
  std::array<const uint8_t*, 3> starts{}, ends{};
  size_t count = 0;
  frame.video = video;
  frame.tensors.resize(planes);
  for (size_t plane = 0; plane < planes; ++plane) {
    const int at = order[plane];
    const int64_t row = int64_t(plane_width(video, plane)) * plane_layout(video.format, plane).pixel_bytes;
    const int64_t rows = plane_height(video, plane), stride = frame_->linesize[at];
    if (stride < row) {
      frame.tensors.clear();
      if (stride < 0)
        return fail(ErrorCode::unsupported,
                    "an AVFrame that is stored bottom up (linesize {}) cannot be shared; copy it first",
                    stride);
      return fail(ErrorCode::corrupt, "an AVFrame whose rows of {} bytes lie only {} bytes apart", row,
                  stride);
    }
    const uint8_t* const data = frame_->data[at];
    size_t block = 0;
    while (block < count && (data < starts[block] || data >= ends[block])) ++block;
    if (block == count) {
      const AVBufferRef* const buffer = av_frame_get_plane_buffer(frame_, at);
      auto* start = buffer && data >= buffer->data && data < buffer->data + buffer->size
                        ? buffer->data
                        : const_cast<uint8_t*>(data);
      const size_t size = start != data || (buffer && start == buffer->data)
                              ? buffer->size
                              : size_t(stride * (rows - 1) + row);
      starts[block] = start, ends[block] = start + size;
      auto* const bytes = reinterpret_cast<std::byte*>(start);
      if (kind == MemoryKind::system) {
        blocks_->system[block].hold(bytes, size, Ref<AvPicture>(this));
        blocks[block] = MemoryRef(&blocks_->system[block]);
      } else {
        blocks_->av[block].hold(bytes, size, Ref<AvPicture>(this));
        blocks[block] = MemoryRef(&blocks_->av[block]);
      }
      ++count;
    }
    frame.tensors[plane] = {
        blocks[block], size_t(data - starts[block]), DataType::u8, Layout::hw, {rows, row}, {stride, 1}};
  }
  return {};
}

AVFrame* av_frame_of(const Memory& memory) {
  if (memory.kind() != MemoryKind::ffmpeg) return nullptr;
  const auto* const block = dynamic_cast<const AvPicture::AvBlock*>(&memory);
  return block ? block->av() : nullptr;
}

namespace {

// The count and the mapping that an AVBuffer holds of our memory.
template <Access access>
void give_back(void* memory, uint8_t*) {
  auto* const lent = static_cast<Memory*>(memory);
  lent->unmap(access);
  lent->unref();
}

Result<AVBufferRef*> lend(Memory& memory, Access access) {
  auto start = memory.map(access);
  if (!start) return forward_error(start);
  const auto release = access == Access::read    ? give_back<Access::read>
                       : access == Access::write ? give_back<Access::write>
                                                 : give_back<Access::read_write>;
  AVBufferRef* const buffer = av_buffer_create(reinterpret_cast<uint8_t*>(*start), memory.size(), release,
                                               &memory, access == Access::read ? AV_BUFFER_FLAG_READONLY : 0);
  if (!buffer) {
    memory.unmap(access);
    return fail(ErrorCode::exhausted, "no memory for an AVBuffer");
  }
  memory.ref();
  return buffer;
}

}  // namespace

Status lend_to(AVFrame& av, const Frame& frame, Access access) {
  if (!frame.video || frame.tensors.size() != plane_count(frame.video->format))
    return fail(ErrorCode::invalid_argument, "only a picture with all its planes can become an AVFrame");
  const VideoInfo& video = *frame.video;
  const auto order = plane_order(video.format);
  std::array<const Memory*, 3> lent{};
  int buffers = 0;
  set_video(av, video);
  for (size_t plane = 0; plane < frame.tensors.size(); ++plane) {
    const Tensor& tensor = frame.tensors[plane];
    const int64_t row = int64_t(plane_width(video, plane)) * plane_layout(video.format, plane).pixel_bytes;
    const bool fits = tensor.memory && tensor.type == DataType::u8 && tensor.shape.rank() == 2 &&
                      tensor.shape[0] == plane_height(video, plane) && tensor.shape[1] == row &&
                      tensor.strides.rank() == 2 && tensor.strides[1] == 1 && tensor.strides[0] >= 0 &&
                      tensor.strides[0] <= INT_MAX && tensor.offset <= tensor.memory->size() &&
                      tensor.bytes() <= tensor.memory->size() - tensor.offset;
    if (!fits) {
      av_frame_unref(&av);
      return fail(ErrorCode::corrupt,
                  "plane {} is {} {} (strides {}), which is no plane of {} {}x{} in its memory", plane,
                  to_string(tensor.type), tensor.shape.to_string(), tensor.strides.to_string(),
                  to_string(video.format), video.width, video.height);
    }
    int buffer = 0;
    while (buffer < buffers && lent[size_t(buffer)] != tensor.memory.get()) ++buffer;
    if (buffer == buffers) {
      auto made = lend(*tensor.memory, access);
      if (!made) {
        av_frame_unref(&av);
        return forward_error(made);
      }
      lent[size_t(buffer)] = tensor.memory.get();
      av.buf[buffers++] = *made;
    }
    av.data[order[plane]] = av.buf[buffer]->data + tensor.offset;
    av.linesize[order[plane]] = int(tensor.strides[0]);
  }
  av.extended_data = av.data;
  av.time_base = {1, 1'000'000'000};
  av.pts = frame.pts == no_time ? AV_NOPTS_VALUE : frame.pts;
  av.duration = frame.duration == no_time ? 0 : frame.duration;
  return {};
}

}  // namespace sightglass
