// Where gaps stand among the samples of a batch. The samples travel as one buffer list, and later often as
// one tensor, so a gap between two of them cannot keep its place by itself. It is announced ahead of its
// batch instead: its batch_index is -k when it belongs in front of the sample with batch_index k. batch_split
// puts it back. A gap that stands where it belongs has an index of 0 or more.
#pragma once

#include "sightglass/core/frame.h"

namespace sightglass::gst {

// `before` is 1 or more: in front of the first sample a gap simply goes first.
inline void announce(Gap& gap, int before) {
  if (!gap.source) gap.source.emplace().pts = gap.pts;
  gap.source->batch_index = -before;
}
// The sample in front of which the gap belongs; 0: it stands where it belongs.
inline int announced_before(const Gap& gap) {
  return gap.source && gap.source->batch_index < 0 ? -gap.source->batch_index : 0;
}

}  // namespace sightglass::gst
