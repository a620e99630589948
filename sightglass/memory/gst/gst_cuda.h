// Memory of GStreamer's CUDA elements as ours, on the primary context of the device, which everybody shares.
#pragma once

#include <gst/video/video.h>

#include "sightglass/core/frame.h"
#include "sightglass/core/memory.h"
#include "sightglass/core/result.h"

namespace sightglass::gst {

// Whether an element of GStreamer's CUDA plug-in has made it.
bool is_cuda_memory(GstMemory* memory);
// The block of device memory below. Keeps the buffer; null: the memory alone.
Result<MemoryRef> wrap_cuda_memory(GstBuffer* buffer, GstMemory* memory, Access access = Access::read);

// For kernels that write into buffers. A decoder of GStreamer's hands out the picture that is to be seen,
// never the one that it predicts others from, so that a memory may be written to unless somebody else holds
// it as well: a tee's other branch, or a kernel of ours that has not been seen to be done with it.
//
// One per stream; not thread-safe.
class CudaWriting {
 public:
  CudaWriting() = default;
  ~CudaWriting();
  CudaWriting(const CudaWriting&) = delete;

  // Gives the buffer, which is writable itself, memory of its own: what it has, or a copy on the device,
  // where planes may lie elsewhere (its GstVideoMeta says so). Counted in the ledger.
  Status own(GstBuffer* buffer, const GstVideoInfo& info);
  // GStreamer's elements, and its decoder when the memory is back there, come after what is in flight on the
  // frame, which lies in the buffer. Whoever still has the frame's memory holds the buffer no longer.
  static Status hand_over(GstBuffer* buffer, const Frame& frame);

 private:
  Result<GstMemory*> copy_theirs(GstBuffer* buffer, GstMemory* memory, const GstVideoInfo& info);
  Result<GstMemory*> copy_ours(const MemoryRef& memory);
  void drop_pool();

  GObject *pool_ = nullptr, *context_ = nullptr;  // a GstCudaPoolAllocator and its context
  GstVideoInfo info_{};
  Ref<MemoryPool> blocks_;
};

// Answers whoever asks its neighbours for a CUDA context, as decoders do when they start: with ours, of the
// device that the asker works on. `pad`: that the query has come to. False: it asks for something else, or
// there is none.
bool answer_cuda_context(GstQuery* query, GstPad* pad);

// The property cuda-device-id of the first element beyond the pad that has it, through bins and whatever lies
// between; 0: nobody has it.
int cuda_device_beyond(GstPad* pad);

}  // namespace sightglass::gst
