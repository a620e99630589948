// `sightglass source NAME [KEY=VALUE…] --source-id ID --to ADDRESS`, or a YAML file with many: brings frames
// to a module, in a process of its own.
#pragma once

#include <CLI/CLI.hpp>

namespace sightglass::cli {

void add_source_command(CLI::App& app);

}  // namespace sightglass::cli
