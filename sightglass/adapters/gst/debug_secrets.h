// Keeps credentials out of what GStreamer prints with GST_DEBUG: at its upper levels rtspsrc shows headers
// and properties.
#pragma once

#include "sightglass/adapters/sources/live/stream_url.h"

namespace sightglass::adapters {

// From now on the password of this URL, however short, in the forms in which it travels, is printed as ***.
// Any thread.
void hide_in_debug_output(const StreamUrl& url);

}  // namespace sightglass::adapters
