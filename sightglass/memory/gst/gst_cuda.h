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
// first device. False: it asks for something else, or there is none.
bool answer_cuda_context(GstQuery* query);

}  // namespace sightglass::gst
