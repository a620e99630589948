// What travels with a buffer besides results: where it comes from (SourceIdentifierMetadata), how it was cut
// and scaled (GstVideoCropMeta, AffineTransformMetadata) and the results as text (sg-json). Also the same
// fields on GAP events.
#pragma once

#include <gst/gst.h>

#include "sightglass/core/frame.h"

namespace sightglass::gst {

void register_frame_metas();  // once per process, before any of the rest

// Fills source, crop, affine, batch and json of the frame from the buffer. The samples of a batch are several
// SourceIdentifierMetadata on one buffer, each with the times of its sample.
void read_frame_metas(GstBuffer* buffer, Frame& frame);
// Puts those that are set onto a writable buffer, replacing what is there.
void write_frame_metas(const Frame& frame, GstBuffer* buffer);

// Of a writable buffer; the other fields of its source stay as they are.
void set_stream(GstBuffer* buffer, uint64_t stream);
void set_batch_index(GstBuffer* buffer, int index);

void write_json(const Frame& frame, GstBuffer* buffer);

GstEvent* to_event(const Gap& gap);
Gap to_gap(GstEvent* gap_event);

// A buffer that stands for a gap, where only buffers can queue: without memory, and flagged.
GstBuffer* to_buffer(const Gap& gap);
bool is_gap(const GstBuffer* buffer);
Gap to_gap(GstBuffer* gap_buffer);

}  // namespace sightglass::gst
