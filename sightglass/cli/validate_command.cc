#include "sightglass/cli/validate_command.h"

#include <memory>
#include <string>

#include "sightglass/cli/exit.h"
#include "sightglass/cli/gst_setup.h"
#include "sightglass/module/module_file.h"

namespace sightglass::cli {
namespace {

std::string counted(size_t count, std::string_view what) {
  return std::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

int run(const std::string& file) {
  // Without GStreamer only its elements cannot be checked, which is said of each.
  (void)init_gstreamer(Need::nothing);
  const auto loaded = module::load_module(file);
  std::print(stderr, "{}", loaded.diagnostics.to_string());
  if (!loaded) {
    std::println(stderr, "{}: {}", file, counted(loaded.diagnostics.errors(), "error"));
    return 2;
  }
  const auto& spec = *loaded.value;
  std::println("{}: the module {} is well described: {}, {}, {}, {}", file, spec.name,
               counted(spec.models.size(), "model"), counted(spec.pipeline.elements.size(), "element"),
               counted(spec.pipeline.sinks.size(), "sink"), counted(spec.parameters.size(), "parameter"));
  return 0;
}

}  // namespace

void add_validate_command(CLI::App& app) {
  auto file = std::make_shared<std::string>();
  auto* command = app.add_subcommand("validate", "Check a module's description");
  command->add_option("file", *file, "YAML file")->type_name("FILE")->required();
  command->callback([file] { exit_with(run(*file)); });
}

}  // namespace sightglass::cli
