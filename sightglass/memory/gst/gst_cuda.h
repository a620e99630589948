// Memory of GStreamer's CUDA elements as ours, on the primary context of the device, which everybody shares.
#pragma once

#include <gst/gst.h>

#include "sightglass/core/memory.h"
#include "sightglass/core/result.h"

namespace sightglass::gst {

// Whether an element of GStreamer's CUDA plug-in has made it.
bool is_cuda_memory(GstMemory* memory);
// The block of device memory below, for reading. Keeps the buffer.
Result<MemoryRef> wrap_cuda_memory(GstBuffer* buffer, GstMemory* memory);

// Answers whoever asks its neighbours for a CUDA context, as decoders do when they start: with ours, of the
// device that the asker works on. `pad`: that the query has come to. False: it asks for something else, or
// there is none.
bool answer_cuda_context(GstQuery* query, GstPad* pad);

// The property cuda-device-id of the first element beyond the pad that has it, through bins and whatever lies
// between; 0: nobody has it.
int cuda_device_beyond(GstPad* pad);

}  // namespace sightglass::gst
