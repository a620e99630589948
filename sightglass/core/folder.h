// What a folder holds, without exceptions: iterating over std::filesystem::directory_iterator in a `for`
// throws when the disk fails halfway, whatever its constructor was given.
//
//   std::error_code error;
//   for (const auto& path : paths_in(folder, error)) …
#pragma once

#include <filesystem>
#include <system_error>
#include <vector>

namespace sightglass {

// In no order. Of a folder that cannot be read, or not to its end: what was read, and `error` says why.
inline std::vector<std::filesystem::path> paths_in(const std::filesystem::path& folder,
                                                   std::error_code& error) {
  std::vector<std::filesystem::path> paths;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error))
    paths.push_back(entry->path());
  return paths;
}

}  // namespace sightglass
