// What a model file itself says of the network: its inputs, its outputs and the key-value texts that
// exporters embed.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sightglass/core/tensor.h"

namespace sightglass {

struct ModelSignature {
  std::vector<TensorInfo> inputs, outputs;      // names, types, shapes; -1 where an axis is free
  std::map<std::string, std::string> metadata;  // ONNX: metadata_props
  std::string producer;                         // tool that wrote the file; may be empty
};

}  // namespace sightglass
