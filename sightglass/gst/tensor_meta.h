// Tensors of frames as GstTensorMeta, for GStreamer's own decoders (ssdobjectdetector and its like).
//
// GStreamer 1.26 loses this meta whenever a buffer is copied; ours travel as attributes of kind tensor
// instead. So it is read wherever it is found, and written only right in front of an element that decodes
// tensors.
#pragma once

#include <gst/gst.h>

#include "sightglass/core/frame.h"

namespace sightglass::gst {

// Adds the tensors of foreign inference elements to the attributes of the frame, without a copy. Those that
// are there already, under whatever name, are left out.
void read_tensor_metas(GstBuffer* buffer, Frame& frame);

// Writes the frame's tensor attributes when what follows the source pad, at once or behind queues, is a
// decoder of GStreamer's: one meta per model. `buffer` is writable. A tensor is called what the model's
// metadata says of the output (tensor_ids.h), else model/layer. Without tensors this costs nothing, else some
// 100 ns where nobody wants them.
void write_tensor_metas(GstPad* source, const Frame& frame, GstBuffer* buffer);

// Whether that is so.
bool wants_tensors(GstPad* source);

}  // namespace sightglass::gst
