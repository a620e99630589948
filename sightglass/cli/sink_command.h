// `sightglass sink`: sinks in a process of their own, which read what a module or source sends.
#pragma once

#include <CLI/CLI.hpp>

namespace sightglass::cli {

void add_sink_command(CLI::App& app);

}  // namespace sightglass::cli
