// What GStreamer knows of an element by its name alone: pads and properties. The plug-in is loaded, no
// element is made and no device touched.
//
//   auto info = factory_info("videoflip");
//   if (info && info->can_stand_in_line()) for (const ParamDesc& p : info->params) …
//
// Any thread; initialises GStreamer where nobody has. Answers are kept for the life of the process.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/param.h"
#include "sightglass/core/result.h"

namespace sightglass::gst {

struct FactoryInfo {
  std::string name, doc;
  // Pads that are always there.
  unsigned static_inputs = 0, static_outputs = 0;
  // Pads come and go with the stream, as those of decodebin do.
  bool plugs_pads_later = false;
  // Properties that can be written, without name and parent. Descriptors without store and load.
  std::vector<ParamDesc> params;

  bool can_stand_in_line() const { return static_inputs == 1 && static_outputs == 1 && !plugs_pads_later; }
};

// The answer lives for ever. not_found: no such element in this registry.
Result<const FactoryInfo*> factory_info(std::string_view name);

// Names of all elements of the registry, for suggestions.
std::vector<std::string> factory_names();

}  // namespace sightglass::gst
