// Child processes, started without a shell.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sightglass/core/result.h"

namespace sightglass {

struct ProcessResult {
  int exit_code = 0;   // 128 + signal when killed
  std::string output;  // stdout and stderr together, the last 64 KiB
  // The most telling line of the output for a message: the first that speaks of an error, else the last.
  std::string reason() const;
};

// Runs a program (looked up in PATH) to its end in folder `where`; stdin is empty. Fails only when it cannot
// be started.
Result<ProcessResult> run_process(const std::vector<std::string>& command,
                                  const std::filesystem::path& where);
// The same for `first | second`; the exit code is that of the first that failed.
Result<ProcessResult> run_pipe(const std::vector<std::string>& first, const std::vector<std::string>& second,
                               const std::filesystem::path& where);

}  // namespace sightglass
