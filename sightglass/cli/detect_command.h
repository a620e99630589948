// `sightglass detect INPUT`: the short way from a camera, video, pictures or URL to boxes, labels and tracks.
#pragma once

#include <CLI/CLI.hpp>

namespace sightglass::cli {

void add_detect_command(CLI::App& app);

}  // namespace sightglass::cli
