// Everything that can be said about an element of ours, for people: from its descriptor where there is one,
// from GStreamer's registry for bins and joins.
#pragma once

#include <string>
#include <vector>

#include "sightglass/core/result.h"

namespace sightglass::cli {

struct ParamInfo {
  std::string name, type, default_value;
  std::string range;  // "0..1"; of a choice "stretch=0 | letterbox=1"
  std::string unit, doc;
  bool is_live = false, is_readable_only = false;

  // What all bins have: their stages, and the queues in front of them.
  bool is_of_every_bin() const { return type == "element" || name.ends_with("-queue-size"); }
};

struct ElementInfo {
  std::string name, title, klass, doc;
  bool is_bin = false;
  std::vector<std::string> inputs, outputs;  // formats, a line each
  std::vector<ParamInfo> params;
};

// GStreamer has to be initialised. not_found names the nearest one.
Result<ElementInfo> element_info(const std::string& name);
std::vector<ElementInfo> all_element_info();  // by name

}  // namespace sightglass::cli
