#include "sightglass/cli/diff_command.h"

#include <algorithm>
#include <memory>
#include <string>

#include "sightglass/cli/exit.h"
#include "sightglass/cli/gst_setup.h"
#include "sightglass/module/module_diff.h"
#include "sightglass/module/module_file.h"

namespace sightglass::cli {
namespace {

int run(const std::string& old_file, const std::string& new_file) {
  (void)init_gstreamer(Need::nothing);
  // Of the old one the files may be gone.
  const auto before = module::load_module(old_file, {.checks = {.files = false, .names = true}});
  const auto after = module::load_module(new_file);
  for (const auto* loaded : {&before, &after})
    if (!*loaded) std::print(stderr, "{}", loaded->diagnostics.to_string());
  if (!before || !after) return 2;
  const auto changes = module::differences(*before.value, *after.value);
  for (const auto& change : changes) std::println("{}", change.to_string());
  const auto count = [&](module::Mutability effect) {
    return std::ranges::count(changes, effect, &module::Change::effect);
  };
  if (changes.empty())
    std::println("no difference");
  else
    std::println("{} live, {} recycled, {} restarted", count(module::Mutability::live),
                 count(module::Mutability::recycle), count(module::Mutability::restart));
  return 0;
}

}  // namespace

void add_diff_command(CLI::App& app) {
  auto files = std::make_shared<std::pair<std::string, std::string>>();
  auto* command =
      app.add_subcommand("diff", "Compare two descriptions of a module, and say what each change does");
  command->add_option("old", files->first, "YAML file of the running module")->type_name("OLD")->required();
  command->add_option("new", files->second, "YAML file to compare with it")->type_name("NEW")->required();
  command->callback([files] { exit_with(run(files->first, files->second)); });
}

}  // namespace sightglass::cli
