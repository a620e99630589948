// An AVFrame with a count, and its buffers as blocks of memory. For the sources that use FFmpeg themselves.
//
//   Ref<AvPicture> picture = pool->take();
//   avcodec_receive_frame(decoder, &picture->av());
//   picture->show(video, MemoryKind::system, frame);   // frame.tensors: the decoder's own bytes
//
// Pictures come back to their pool with their last reference; once as many exist as are in use at a time,
// taking and showing one allocates nothing. Taking is thread-safe; a picture is filled and shown by one
// thread, once.
#pragma once

extern "C" {
#include <libavutil/frame.h>
}

#include <array>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>

#include "sightglass/core/frame.h"
#include "sightglass/core/memory.h"
#include "sightglass/core/result.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {

class AvPicturePool;

class AvPicture final : public RefCounted {
 public:
  AvPicture();
  ~AvPicture() override;

  AVFrame& av() { return *frame_; }
  // Nobody else has the picture, such as the decoder that predicts others from it.
  bool writable() const { return av_frame_is_writable(frame_) > 0; }

  // Leaves out what the AVFrame says is cropped. Where the corner does not lie on a whole chroma sample it
  // stays, and `crop` says what counts.
  void apply_crop(std::optional<Crop>& crop);

  // Sets the frame's picture to the one in here, its planes in our order. One block of memory per AVBuffer.
  // As `ffmpeg` memory it can be written to as it is; as `system` memory only where nobody else holds it, so
  // that a decoder's reference pictures are safe.
  Status show(const VideoInfo& video, MemoryKind kind, Frame& frame);

 private:
  friend AvPicturePool;
  friend AVFrame* av_frame_of(const Memory& memory);
  void dispose() noexcept override;

  class AvBlock;
  class SystemBlock;
  struct Blocks;

  AVFrame* frame_;
  std::unique_ptr<Blocks> blocks_;
  Ref<AvPicturePool> pool_;    // while in use
  AvPicture* next_ = nullptr;  // in the pool
};

class AvPicturePool final : public RefCounted {
 public:
  AvPicturePool() = default;
  ~AvPicturePool() override;
  Ref<AvPicture> take();  // empty

 private:
  friend AvPicture;
  std::mutex mutex_;
  AvPicture* free_ = nullptr;
};

// The AVFrame that a block of kind `ffmpeg` belongs to; null for other kinds.
AVFrame* av_frame_of(const Memory& memory);

// An AVFrame over the frame's memory, which has to be the CPU's. It may outlive the frame; `access` says
// whether FFmpeg may write to it.
Status lend_to(AVFrame& av, const Frame& frame, Access access);

}  // namespace sightglass
