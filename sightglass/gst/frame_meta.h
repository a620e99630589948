// What travels with a buffer besides results: where it comes from (SourceIdentifierMetadata), how it was cut
// and scaled (GstVideoCropMeta, AffineTransformMetadata) and the results as text (sg-json). Also the same
// fields on GAP events.
//
// Source and matrix are custom metas, which anybody finds by name and which, as results in upstream's form,
// cost some microseconds per buffer. Between elements of ours inside a bin of ours nobody else sees them:
// there one compact meta, which only this file knows, says the same (Readers::ours).
#pragma once

#include <gst/gst.h>

#include "sightglass/core/frame.h"

namespace sightglass::gst {

void register_frame_metas();  // once per process, before any of the rest

// Who reads what is written.
enum class Readers { anybody, ours };

// Fills source, crop, affine, batch and json of the frame from the buffer. The samples of a batch are several
// SourceIdentifierMetadata on one buffer, each with the times of its sample. With `results` also regions and
// attributes of the compact meta; true when it has them, and read_results() would find no others.
bool read_frame_metas(GstBuffer* buffer, Frame& frame, bool results = false);
// Puts those that are set onto a writable buffer, replacing what is there.
void write_frame_metas(const Frame& frame, GstBuffer* buffer, Readers readers = Readers::anybody);
// Regions and attributes into the compact meta, in place of what a ResultWriter does. Regions without an id
// are numbered.
void write_compact_results(const Frame& frame, GstBuffer* buffer);

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
