// `sightglass send FILE --to ADDRESS`: a video as messages to a module; `sightglass recv ADDRESS`: messages
// as lines of JSON.
#pragma once

#include <CLI/CLI.hpp>

namespace sightglass::cli {

void add_send_command(CLI::App& app);
void add_recv_command(CLI::App& app);

}  // namespace sightglass::cli
