// The version of this build, as CMakeLists.txt says it.
#pragma once

namespace sightglass::cli {

inline constexpr const char* version = SIGHTGLASS_VERSION;

}  // namespace sightglass::cli
