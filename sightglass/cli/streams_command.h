// `sightglass streams`: who is live in a running module, how fast, how late, what was lost and why.
#pragma once

#include <CLI/CLI.hpp>

namespace sightglass::cli {

void add_streams_command(CLI::App& app);

}  // namespace sightglass::cli
