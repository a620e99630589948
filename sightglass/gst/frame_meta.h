// What travels with a buffer besides results: where it comes from (SourceIdentifierMetadata), how it was cut
// and scaled (GstVideoCropMeta, AffineTransformMetadata) and the results as text (sg-json). Also the same
// fields on GAP events.
#pragma once

#include <gst/gst.h>

#include "sightglass/core/frame.h"

namespace sightglass::gst {

void register_frame_metas();  // once per process, before any of the rest

// Fills source, crop, affine and json of the frame from the buffer.
void read_frame_metas(GstBuffer* buffer, Frame& frame);
// Puts those that are set onto a writable buffer, replacing what is there.
void write_frame_metas(const Frame& frame, GstBuffer* buffer);

void write_json(const Frame& frame, GstBuffer* buffer);

GstEvent* to_event(const Gap& gap);
Gap to_gap(GstEvent* gap_event);

// A buffer that stands for a gap, where only buffers can queue.
GstBuffer* to_buffer(const Gap& gap);

}  // namespace sightglass::gst
