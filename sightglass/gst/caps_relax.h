// The caps side of the element capsrelax.
#pragma once

#include <gst/base/gstbasetransform.h>

#include "sightglass/memory/gst/handles.h"

namespace sightglass::gst {

// What upstream is to see of downstream's caps: structures with a fixed width or height lose both, if another
// structure takes the same and leaves the size open. Else the caps as they are.
CapsPtr relaxed(const GstCaps* caps);

// GstBaseTransformClass::query of the element. The base class answers with downstream's own caps in any case,
// so the answer itself is what is changed.
gboolean relaxing_query(GstBaseTransform* self, GstPadDirection direction, GstQuery* query);

}  // namespace sightglass::gst
