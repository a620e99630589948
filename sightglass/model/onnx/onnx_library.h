// Finds and opens the ONNX Runtime library; the only place that knows about its versions. For the sources of
// this folder.
#pragma once

#define ORT_API_MANUAL_INIT
#include <onnxruntime_cxx_api.h>

#include "sightglass/core/result.h"
#include "sightglass/model/engine.h"

namespace sightglass {

struct OnnxLibrary {
  EngineInfo info;
  // Never destroyed: tensors made by the library may live until the process ends.
  Ort::Env* env = nullptr;
};

// Opens it at the first call; every other gives the same answer. Thread-safe.
Result<const OnnxLibrary*> onnx_library();

// An exception of the library as one line without its prefixes.
std::string one_line(const char* text);

}  // namespace sightglass
