#include "sightglass/elements/plugins.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "sightglass/core/folder.h"

namespace sightglass {
namespace {

namespace fs = std::filesystem;

std::vector<Error> load_all(std::string_view path) {
  std::vector<Error> errors;
  const auto load = [&](const fs::path& file) {
    if (auto status = load_plugin(file); !status) errors.push_back(status.error());
  };
  for (size_t from = 0; from < path.size();) {
    const size_t to = std::min(path.find(':', from), path.size());
    const fs::path place = path.substr(from, to - from);
    from = to + 1;
    if (place.empty()) continue;
    std::error_code error;
    if (!fs::is_directory(place, error)) {
      load(place);
      continue;
    }
    std::vector<fs::path> files;
    for (const auto& file : paths_in(place, error))
      if (file.extension() == ".so") files.push_back(file);
    std::ranges::sort(files);  // the same order everywhere
    std::ranges::for_each(files, load);
  }
  return errors;
}

}  // namespace

Status load_plugin(const fs::path& file) {
  if (dlopen(fs::absolute(file).c_str(), RTLD_NOW | RTLD_LOCAL)) return {};
  const char* reason = dlerror();
  return fail(ErrorCode::unavailable, "the plug-in {} cannot be loaded: {}", file.string(),
              reason ? reason : "no reason is given");
}

const std::vector<Error>& load_plugins() {
  static const auto& errors = *new std::vector<Error>([] {
    const char* path = std::getenv("SIGHTGLASS_PLUGIN_PATH");
    return path ? load_all(path) : std::vector<Error>();
  }());
  return errors;
}

}  // namespace sightglass
