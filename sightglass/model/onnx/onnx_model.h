// One model loaded by ONNX Runtime. For the sources of this folder.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "sightglass/model/engine.h"
#include "sightglass/model/onnx/onnx_library.h"

namespace sightglass {

struct LoadedThreads {
  unsigned per_request = 1;  // threads that work on one request
  bool spin = false;         // they wait for work without sleeping
  unsigned requests = 1;     // at the same time
};

// `options` hold everything but what depends on the model: its free axes.
Result<std::unique_ptr<LoadedModel>> load_onnx_model(const OnnxLibrary& library,
                                                     const std::filesystem::path& path,
                                                     const LoadOptions& wanted, Ort::SessionOptions& options,
                                                     const LoadedThreads& threads,
                                                     std::vector<std::string> notes);

}  // namespace sightglass
