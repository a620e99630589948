// One TorchScript model. For the sources of this folder.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sightglass/model/engine.h"

namespace torch::jit {
struct Module;
}

namespace sightglass {

struct TorchSettings {
  at::Device device = at::kCPU;
  unsigned threads = 1;   // that work on one request
  unsigned requests = 1;  // at the same time
  std::vector<std::string> notes;
};

// Finds out what the file does not say by running the model: which outputs there are, and their shapes.
// `metadata` is what an exporter has put beside the network.
Result<std::unique_ptr<LoadedModel>> load_torch_model(torch::jit::Module module,
                                                      const std::filesystem::path& path,
                                                      const LoadOptions& wanted, TorchSettings settings,
                                                      std::map<std::string, std::string> metadata);

// The message of an exception of the library as one line, without what follows on where it came from.
std::string torch_message(const std::exception& error);

}  // namespace sightglass
