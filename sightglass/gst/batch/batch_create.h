// batch_create: collects buffers into a buffer list, of its own stream or, with shared-instance-id, of all
// streams that name the same id (batcher.h). Each buffer says whose it is by the stream id in its
// SourceIdentifierMetadata; GAP events become records in the list. In a pipeline with a batch_split, which
// turns all of this back:
//
//   … ! batch_create batch-size=4 shared-instance-id=a ! onnx_tensor_inference … ! batch_split ! …
//
// A shared stream's own events (its end, a new segment) travel with the batches, so its batch_split sends
// them on behind its last result. Between the two there may be elements of Sightglass and queues.
#pragma once

#include <gst/gst.h>

namespace sightglass::gst {

bool register_batch_create(GstPlugin* plugin);

}  // namespace sightglass::gst
