// `sightglass run 'PIPELINE'`: a pipeline as text.
#pragma once

#include <CLI/CLI.hpp>

namespace sightglass::cli {

void add_run_command(CLI::App& app);

}  // namespace sightglass::cli
