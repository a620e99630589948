// TensorFlow.js graph models made into ONNX, by the script beside this file (python3-onnx does the writing).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sightglass/core/result.h"

namespace sightglass {

// `graph` is a graph-model JSON with its weight files beside it; `outputs` are names of its nodes, none
// meaning every node that no other consumes. Takes seconds. `onnx` appears complete or not at all.
Status convert_tfjs(const std::filesystem::path& graph, const std::filesystem::path& onnx,
                    const std::vector<std::string>& outputs);

// Changes when the script does.
Result<std::string> tfjs_converter_version();

}  // namespace sightglass
