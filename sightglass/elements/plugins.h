// Elements from outside of this tree: shared objects that register elements (core/registry.h) while they
// load. All that lie in the folders of SIGHTGLASS_PLUGIN_PATH (separated by colons; a single file may be
// named as well) are there for everybody: pipelines in GStreamer, flows, Python, `sightglass inspect`.
//
//   SIGHTGLASS_PLUGIN_PATH=~/my-elements gst-launch-1.0 … ! my_element ! …
//
// An element plug-in is built for one version of the library; see docs/versions.md.
#pragma once

#include <filesystem>
#include <vector>

#include "sightglass/core/result.h"

namespace sightglass {

// Loads one; its elements can be found from then on. Never unloaded.
Status load_plugin(const std::filesystem::path& file);

// Loads what SIGHTGLASS_PLUGIN_PATH names, at the first call; every call gives what went wrong then.
const std::vector<Error>& load_plugins();

}  // namespace sightglass
