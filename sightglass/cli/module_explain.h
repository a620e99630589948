// `sightglass explain module.yml`: the graph that a module builds for each stream, with format, memory and
// copies per link and what properties are bound to; as text, and as a picture (SVG).
#pragma once

#include <string>

namespace sightglass::cli {

// Loads no model unless `load_models`. An SVG is written to `svg` unless that is empty. The exit code.
int explain_module(const std::string& file, const std::string& svg, bool load_models);

}  // namespace sightglass::cli
