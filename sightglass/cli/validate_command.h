// `sightglass validate FILE.yml`: everything that is wrong with a module's description, at once; exit code 2.
// Touches no device.
#pragma once

#include <CLI/CLI.hpp>

namespace sightglass::cli {

void add_validate_command(CLI::App& app);

}  // namespace sightglass::cli
