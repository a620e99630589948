// Models run by ONNX Runtime's CUDA provider. Each request has a stream and sessions of its own, one for
// every shape that is recorded and one for all others; inputs and outputs lie at fixed places of the device,
// so that a run of prepared shapes is one recorded graph. Outputs are copied to the CPU behind it, in the
// same stream. For the sources of this folder.
#pragma once

#include "sightglass/model/onnx/onnx_model.h"

struct CUstream_st;

namespace sightglass {

// Puts the provider into the options. A null stream: one of the provider's own.
Status add_cuda_provider(Ort::SessionOptions& options, const OnnxCuda& cuda, CUstream_st* stream,
                         bool has_graphs);

// `options`: of a session without the provider. Throws what ONNX Runtime throws.
Result<std::unique_ptr<LoadedModel>> load_onnx_cuda_model(
    const OnnxLibrary& library, const std::filesystem::path& path, const Ort::SessionOptions& options,
    OnnxCuda cuda, std::vector<OnnxPort> inputs, std::vector<OnnxPort> outputs, ModelSignature signature,
    std::vector<std::string> notes);

}  // namespace sightglass
