// `sightglass schema NAME`: the JSON Schemas of what Sightglass writes.
#pragma once

#include <CLI/CLI.hpp>

namespace sightglass::cli {

void add_schema_command(CLI::App& app);

}  // namespace sightglass::cli
