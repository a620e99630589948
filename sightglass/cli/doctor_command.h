// `sightglass doctor [NAME]`: what works on this machine, what does not, and why; or what has become of a
// name from an older system.
#pragma once

#include <CLI/CLI.hpp>

namespace sightglass::cli {

void add_doctor_command(CLI::App& app);

}  // namespace sightglass::cli
