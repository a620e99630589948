// A picture in a file or behind a URL, as it is: the bytes of a JPEG or PNG as the one access unit of a
// video.
//
//   auto picture = open_picture("/hot/0017.jpg", {25, 1});
//
// The kind is told by the first bytes, whatever the name says.
#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "sightglass/adapters/sources/access_units.h"

namespace sightglass::adapters {

// `rate`: pictures per second of the stream that it becomes part of.
Result<std::unique_ptr<AccessUnits>> open_picture(const std::string& location, Fraction rate,
                                                  const std::stop_token& stop = {});

}  // namespace sightglass::adapters
