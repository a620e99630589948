// Whether OpenCL can be used here, found out by a child process: a driver that finds too little memory or no
// /sys calls abort().
#pragma once

#include "sightglass/core/result.h"

namespace sightglass {

// Asked once per process, later calls give the same answer. Takes as long as loading the drivers, at most 20
// seconds.
Status probe_opencl();

}  // namespace sightglass
