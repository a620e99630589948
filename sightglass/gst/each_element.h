// Every element of a bin, those inside of its bins as well.
#pragma once

#include <gst/gst.h>

#include <functional>

namespace sightglass::gst {

// When elements come or go meanwhile it begins again, so that none that stays is missed; one may be visited
// more than once. From any thread; no lock is held while `visit` runs, and the element lives until it
// returns.
void each_element(GstBin* bin, const std::function<void(GstElement*)>& visit);

}  // namespace sightglass::gst
