// GStreamer for this program: initialised once, with our plug-in found beside the program where
// GST_PLUGIN_PATH does not name it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sightglass/core/result.h"

namespace sightglass::cli {

// Fails when GStreamer cannot start or our plug-in is not found; the second only if it is needed.
enum class Need { plugin, nothing };
Status init_gstreamer(Need need = Need::plugin);

std::filesystem::path program_folder();

// Names of the elements of our plug-in, sorted.
std::vector<std::string> plugin_elements();
// Names of all elements of this machine.
std::vector<std::string> all_gst_elements();

}  // namespace sightglass::cli
