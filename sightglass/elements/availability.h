// The one line that says that something cannot be used on this machine: what was asked, what is missing, what
// works instead. Elements, bins, the library and `sightglass doctor` all take it from here, so that it reads
// the same everywhere. Whoever runs the element puts its name in front.
//
//   if (auto lacking = missing({Facility::va_display, Facility::opencl}); !lacking.empty())
//     return std::unexpected(availability_error("pre-process-backend=vaapi-opencl", lacking,
//                                               {"fused", "gst-opencv"}));
//
//   object_detect0: pre-process-backend=vaapi-opencl is not usable: no VA display (no render node), no OpenCL
//   runtime (no driver in /etc/OpenCL/vendors); usable: fused, gst-opencv
//
// Looks at the machine anew with every call; thread-safe, for start() and not for every frame.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/result.h"

namespace sightglass {

// What an element may need beyond a CPU.
enum class Facility : uint8_t {
  va_display,  // a render node and the VA library
  opencl,      // a loader and a driver
  cuda,        // a device and its driver
  openvino,    // the OpenVINO runtime
};
std::string_view to_string(Facility facility);  // "VA", "OpenCL", …

// What this machine lacks for it, "no VA display (no render node)"; empty: it is there.
std::string missing(Facility facility);
// The same for several, those that are there left out.
std::vector<std::string> missing(std::initializer_list<Facility> facilities);

// "ASKED is not usable: MISSING, MISSING; usable: VALUE, VALUE". `asked` is "property=value", or the name of
// an element where it is the element itself; without `usable` that part is left out.
Error availability_error(std::string_view asked, std::span<const std::string> missing_pieces,
                         std::span<const std::string> usable = {});
Error availability_error(std::string_view asked, std::initializer_list<std::string> missing_pieces,
                         std::initializer_list<std::string> usable = {});

// The same for an element that this version only has the name and the properties of, whatever the machine
// has.
Error not_built_error(std::string_view element, std::initializer_list<Facility> needs,
                      std::initializer_list<std::string> usable);

}  // namespace sightglass
