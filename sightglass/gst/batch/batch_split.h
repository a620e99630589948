// batch_split: turns the result of a batch into the results of its samples, each on the stream that the
// sample came from.
//
// A tensor with several samples along its first axis is cut into one for each, sharing its memory; what has
// no place for each sample (first axis 1) goes to all of them. Results that come one by one go on as they
// are. Each keeps one SourceIdentifierMetadata and its own matrix and times; gaps become GAP events of their
// stream, in order.
//
// Behind a batch_create with shared-instance-id, whichever batch_split gets a result hands it to the one of
// the owning stream, which sends it on in a thread of its own; what belongs to a stream that has ended is
// dropped.
#pragma once

#include <gst/gst.h>

namespace sightglass::gst {

bool register_batch_split(GstPlugin* plugin);

}  // namespace sightglass::gst
