// One frame at a time between GstBuffer and Frame, for one pad: formats come from its caps.
#pragma once

#include <gst/video/video.h>

#include "sightglass/core/format.h"
#include "sightglass/gst/results.h"
#include "sightglass/memory/gst/gst_memory.h"

namespace sightglass::gst {

class FrameBridge {
 public:
  FrameBridge() : memories_(make_ref<BufferMemories>()) {}

  // Whether blocks of a device are shown as such. False: as memory that can be mapped for the CPU, which
  // costs nothing until somebody does. For elements that look at results alone; mapping a decoder's surface
  // for the device waits until it is decoded.
  void show_device_memory(bool shown) { shows_device_memory_ = shown; }
  // Fixed caps of the pad.
  Status set_caps(const GstCaps* caps);
  const Format& format() const { return format_; }
  const GstVideoInfo& video_info() const { return video_; }
  PixelSize pixel_size() const;
  size_t frame_bytes() const;  // of a buffer in this format without padding; 0: unknown

  // Fills the frame with the buffer's memory, times and metadata; `frame` is cleared first. Results are read
  // when asked for. Fails when the buffer is smaller than its caps say.
  Status read(GstBuffer* buffer, bool results, Frame& frame);
  // The same for pixels that are to be changed: of a buffer that is writable, and with it all of its memory.
  // A frame in CUDA memory is handed over (CudaWriting) before the buffer goes on.
  Status read_for_writing(GstBuffer* buffer, bool results, Frame& frame);
  // The same without the memory.
  void read_metadata(GstBuffer* buffer, bool results, Frame& frame) const;
  // Sets `video` and `tensors` only, to the memory of a buffer that is about to be filled.
  Status attach_output(GstBuffer* buffer, Frame& frame);
  // A new buffer with the memory, times and frame metas of `frame`; results are left to a ResultWriter.
  GstBuffer* make_buffer(const Frame& frame) const;
  // The same without the metas.
  GstBuffer* wrap(const Frame& frame) const;

 private:
  enum class Use : uint8_t { input, change, output };
  Status attach(GstBuffer* buffer, Use use, Frame& frame);
  Result<MemoryRef> wrap_block(GstBuffer* buffer, GstMemory* memory, Use use);
  Status locate(GstBuffer* buffer, Use use, size_t offset, const TensorInfo& info, Frame& frame);

  Format format_;
  GstVideoInfo video_{};
  Ref<BufferMemories> memories_;
  bool shows_device_memory_ = true;
  GstMemory* last_ = nullptr;  // of the tensor that was located last; only compared
};

}  // namespace sightglass::gst
