// One model loaded by ONNX Runtime. For the sources of this folder.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/model/engine.h"
#include "sightglass/model/onnx/onnx_library.h"

namespace sightglass {

struct LoadedThreads {
  unsigned per_request = 1;  // threads that work on one request
  bool spin = false;         // they wait for work without sleeping
  unsigned requests = 1;     // at the same time
};

using ProviderSettings = std::vector<std::pair<std::string, std::string>>;

// The NVIDIA device that a model is to run on.
struct OnnxCuda {
  ContextRef context;
  int index = 0;
  ProviderSettings provider;  // the user's options of the CUDA provider
  ProviderSettings tensorrt;  // of the TensorRT provider in front of it; empty: without that one
};

// An input or output as the library knows it.
struct OnnxPort {
  std::string name;
  TensorInfo info;
  size_t rank = 0;                   // of the library; a scalar is a tensor of one element above
  std::vector<std::string> symbols;  // names of the free axes; empty where there is none
};

// Takes an output that the library has made in memory of the CPU. `session`: whose allocator it came from.
void adopt_output(Ort::Value value, const OnnxPort& port, std::shared_ptr<Ort::Session> session,
                  Binding& output);

// `options` hold everything but the device and what depends on the model: its free axes.
Result<std::unique_ptr<LoadedModel>> load_onnx_model(const OnnxLibrary& library,
                                                     const std::filesystem::path& path,
                                                     const LoadOptions& wanted, Ort::SessionOptions& options,
                                                     const LoadedThreads& threads,
                                                     std::optional<OnnxCuda> cuda,
                                                     std::vector<std::string> notes);

}  // namespace sightglass
