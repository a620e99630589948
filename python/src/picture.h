// Pictures as arrays: how the planes of each pixel format look in numpy, both ways and without a copy.
//
//   BGR, RGBA…      (height, width, channels)           GRAY8, GRAY16   (height, width)
//   RGBP            (3, height, width)                  NV12            (height, width) and (height/2,
//   width/2, 2) I420            three arrays of (rows, columns)     P010            as NV12, uint16
#pragma once

#include <optional>
#include <string>

#include "python/src/bindings.h"

namespace sightglass::python {

Frame picture_of_array(nb::handle array, const std::string& format, std::optional<int> width,
                       std::optional<int> height);
nb::tuple planes_of(const Frame& frame, bool writable);
nb::object picture_array(const Frame& frame, bool writable);
nb::object rgb_array(const Frame& frame);

}  // namespace sightglass::python
