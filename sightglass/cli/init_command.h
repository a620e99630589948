// `sightglass init DIR`: a commented project to start from: a module that detects, follows and counts, with a
// function of its own in Python.
#pragma once

#include <CLI/CLI.hpp>

namespace sightglass::cli {

void add_init_command(CLI::App& app);

}  // namespace sightglass::cli
