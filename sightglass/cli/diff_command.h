// `sightglass diff OLD NEW`: what differs between two descriptions, and for each difference whether a running
// module takes it over live, renews its streams or has to be started again.
#pragma once

#include <CLI/CLI.hpp>

namespace sightglass::cli {

void add_diff_command(CLI::App& app);

}  // namespace sightglass::cli
