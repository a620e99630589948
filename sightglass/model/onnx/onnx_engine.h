// ONNX Runtime as an Engine. The library is opened with dlopen at first use:
//
//   1. the file that SIGHTGLASS_ONNXRUNTIME names; an error if that does not load
//   2. onnxruntime_path(), where set-up puts the newer one that it fetches
//   3. Debian's, by its name
//
// Any version from 1.21 on serves, with whatever providers it was built with. Its usage telemetry is always
// off.
#pragma once

#include <filesystem>

#include "sightglass/model/engine.h"

namespace sightglass {

Engine& onnx_engine();

// <cache>/engines/onnxruntime/libonnxruntime.so.1, where <cache> is SIGHTGLASS_CACHE, else sightglass in
// XDG_CACHE_HOME or ~/.cache.
std::filesystem::path onnxruntime_path();

}  // namespace sightglass
