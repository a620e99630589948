// `sightglass run 'PIPELINE'`: a pipeline as text, in GStreamer or (--flow) without; `sightglass run
// FILE.yml`: a module.
#pragma once

#include <CLI/CLI.hpp>

namespace sightglass::cli {

void add_run_command(CLI::App& app);

}  // namespace sightglass::cli
