// Whether anything in a pipeline may grow without a limit (F-23).
#pragma once

#include <gst/gst.h>

#include <string>
#include <vector>

namespace sightglass::module {

// Names of the queues, appsrcs and appsinks that bound neither buffers nor bytes nor time, those inside of
// bins included.
std::vector<std::string> unbounded_queues(GstBin* bin);

}  // namespace sightglass::module
