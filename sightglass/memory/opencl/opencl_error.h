// Error codes of OpenCL as errors that name the call.
#pragma once

#include <string_view>

#include "sightglass/core/result.h"
#include "sightglass/memory/opencl/cl.h"

namespace sightglass {

std::string_view opencl_error_name(cl_int code);  // "CL_INVALID_VALUE"; "unknown error" otherwise
// `call` says what was tried: "an OpenCL buffer of 640 bytes cannot be made".
std::unexpected<Error> opencl_error(std::string_view call, cl_int code);
inline Status opencl_status(std::string_view call, cl_int code) {
  return code == CL_SUCCESS ? Status() : Status(opencl_error(call, code));
}

}  // namespace sightglass
