// ONNX Runtime's TensorRT provider in front of its CUDA provider: where the user gives options of it, and
// only then. It compiles the model for the device, which takes minutes; what it has built is kept, in a
// folder whose name stands for the model, the options, the device, its driver and the versions. For the
// sources of this folder.
#pragma once

#include <filesystem>

#include "sightglass/model/onnx/onnx_model.h"

struct CUstream_st;

namespace sightglass {

// One entry trt.KEY=VALUE of `config` as the provider calls it, the prefix trt_ added where it is missing:
// trt.fp16_enable=1. trt.enable=1 only says that the provider is wanted.
std::pair<std::string, std::string> tensorrt_option(std::string_view key, std::string_view value);

// That the library has the provider and takes these options, tried on options of its own.
Status check_tensorrt(const OnnxLibrary& library, const ProviderSettings& settings, int device);

// What everything that is built depends on beside the model: "NVIDIA H100 80GB HBM3 sm_90, driver 580.65,
// TensorRT 10.9.0, ONNX Runtime 1.29.0". Versions that cannot be found are left out.
std::string tensorrt_platform(const OnnxLibrary& library, const ContextRef& context);

// Adds the folder for engines and timings to the settings, unless the user has named one: that of modules
// (`storage.compiled`, see compiled_cache.h), else of the user's cache. It is made; what cannot be made is
// left out. Gives the folder; empty: nothing is kept.
std::filesystem::path keep_tensorrt_engines(ProviderSettings& settings, const std::filesystem::path& model,
                                            const LoadOptions& wanted, std::string_view platform);

// Whether something that was built lies there.
bool has_tensorrt_engine(const std::filesystem::path& folder);

// Puts the provider into the options, to be called before the CUDA provider, which takes what it leaves.
Status add_tensorrt_provider(Ort::SessionOptions& options, const ProviderSettings& settings, int device,
                             CUstream_st* stream, bool has_graphs);

}  // namespace sightglass
