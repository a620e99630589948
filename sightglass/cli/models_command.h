// `sightglass models list | fetch | import | info`.
#pragma once

namespace CLI {
class App;
}

namespace sightglass {

// Adds the command with its subcommands. A failure is printed as one line and thrown as CLI::RuntimeError
// with the exit code, for CLI::App::exit().
void add_models_command(CLI::App& app);

}  // namespace sightglass
