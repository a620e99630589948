// `sightglass explain 'PIPELINE'`: what becomes of frames on their way; `explain --map FROM TO`: the way
// between two memories or formats.
#pragma once

#include <CLI/CLI.hpp>

namespace sightglass::cli {

void add_explain_command(CLI::App& app);

}  // namespace sightglass::cli
