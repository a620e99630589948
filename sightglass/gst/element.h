// The one wrapper: turns every ElementDesc of the registry into a GStreamer element type.
//
// The element object is made at NULL→READY with the properties of that moment, so that a missing model or
// device is an error there. Streaming calls it on the thread of its sink pad. A Transform pushes as many
// buffers and GAP events as it likes; an in-place element changes the buffer that it was given, and only
// metadata unless its descriptor says otherwise, so that pixels are never copied for it.
#pragma once

#include <gst/gst.h>

#include "sightglass/core/element.h"

namespace sightglass::gst {

// Registers the element `desc.name` with the plug-in. Transforms and in-place elements only: sources and
// sinks of the library have better counterparts in GStreamer.
bool register_element(GstPlugin* plugin, const ElementDesc& desc);

// Posts an error message of the element, in one line; errors that were posted already by others (cancelled)
// are not repeated.
void post_error(GstElement* element, const Error& error);

}  // namespace sightglass::gst
