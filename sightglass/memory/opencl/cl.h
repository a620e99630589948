// OpenCL's header in the version that is used here: everything needed is in 1.2, which all drivers have. For
// the sources of this folder only.
#pragma once

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
