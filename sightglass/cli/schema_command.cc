#include "sightglass/cli/schema_command.h"

#include <memory>
#include <string>

#include "sightglass/cli/exit.h"
#include "sightglass/elements/metaconvert/frame_schema.h"
#include "sightglass/module/schema_text.h"
#include "sightglass/module/spec_schema.h"

namespace sightglass::cli {
namespace {

int run(const std::string& name) {
  if (name == "frame") {
    std::print("{}", frame_schema());
    return 0;
  }
  if (name == "module") {
    std::print("{}", module::json_schema(module::module_schema()));
    return 0;
  }
  return complain(
      "no schema is called {}; there are: frame (what metaconvert writes for a frame), module (a module's "
      "file)",
      name);
}

}  // namespace

void add_schema_command(CLI::App& app) {
  auto name = std::make_shared<std::string>("frame");
  auto* command = app.add_subcommand("schema", "Print the JSON Schema of what is written and read");
  command
      ->add_option("name", *name,
                   "frame: the results of a frame, as metaconvert writes them; module: a module's file")
      ->type_name("NAME")
      ->capture_default_str();
  command->callback([name] { exit_with(run(*name)); });
}

}  // namespace sightglass::cli
