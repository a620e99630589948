// Elements whose code lies in a module (sightglass/memory/module.h): their descriptor is always there, so
// that everybody can be told of them, but the library that they need is loaded when the first one is made.
//
//   in the descriptor   .create = [](const ParamSet& params) {
//                         return create_in_module("ffmpeg", "ffmpeg_multi_source", params);
//                       }
//   in the module       const ModuleElement registration("ffmpeg_multi_source", &FfmpegMultiSource::create);
#pragma once

#include <memory>
#include <string_view>

#include "sightglass/core/element.h"

namespace sightglass {

using CreateElement = Result<std::unique_ptr<Element>> (*)(const ParamSet& params);

struct ModuleElement {
  ModuleElement(std::string_view element, CreateElement create);
};

// Unavailable when the module cannot be loaded; the error says what is missing.
Result<std::unique_ptr<Element>> create_in_module(std::string_view module, std::string_view element,
                                                  const ParamSet& params);

}  // namespace sightglass
