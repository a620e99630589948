// `sightglass inspect [ELEMENT]`: what there is, and what one element does and takes.
#pragma once

#include <CLI/CLI.hpp>

namespace sightglass::cli {

void add_inspect_command(CLI::App& app);

}  // namespace sightglass::cli
