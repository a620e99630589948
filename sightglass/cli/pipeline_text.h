// Pipelines as text, and what goes wrong with them as one line that says where, what, and what to do.
#pragma once

#include <gst/gst.h>

#include <string>
#include <string_view>

#include "sightglass/core/result.h"
#include "sightglass/memory/gst/handles.h"

namespace sightglass::cli {

// gst_parse_launch, where anything wrong is an error: also an unknown name (with the nearest known one) and a
// number out of range, which GStreamer would only print. Always a GstPipeline.
Result<gst::ElementPtr> parse_pipeline(std::string_view text);

// An ERROR or WARNING message of the bus.
Error message_error(GstMessage* message);

// The same from its parts; `element` is the name of the element that has posted it.
std::string message_text(std::string_view element, std::string_view text, std::string_view debug);

}  // namespace sightglass::cli
