// `sightglass run FILE.yml`: a module until it is told to end, or with --input over files and URLs without
// any sockets.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sightglass::cli {

struct ModuleCommand {
  std::string file;
  std::vector<std::string> inputs;  // files, URLs: in the place of the module's source
  std::string output;               // folder: in the place of its sinks; empty: the module's own
  uint64_t limit = 0;               // results after which it ends; 0: none
  bool is_quiet = false;
  bool is_development = false;  // changed code of functions is taken while streams run
};
// The exit code: 0 clean, 2 configuration, 3 deadline passed, 4 model or device unusable, 5 stuck instances,
// 6 watchdog.
int run_module(const ModuleCommand& command);

}  // namespace sightglass::cli
