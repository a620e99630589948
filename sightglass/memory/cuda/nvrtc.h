// NVIDIA's run-time compiler, found at run time. For the sources of this folder only.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "sightglass/core/result.h"

namespace sightglass {

struct CompiledKernels {
  std::vector<std::byte> binary;  // machine code for that device
  std::string compiler;           // "NVRTC 13.0"
};

// `capability`: 90 for sm_90. Unavailable: there is no NVRTC on this machine. What has been made is kept, and
// taken again unless it is to be made `anew`, because it does not load.
Result<CompiledKernels> compile_kernels(const std::string& name, const std::string& text, int capability,
                                        bool anew = false);

}  // namespace sightglass
