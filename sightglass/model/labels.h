// Label lists in the forms that a user may write them.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/result.h"

namespace sightglass {

// `text` is a list ("<a,b>" or "a,b", items may be quoted), the path of an existing file, or
// "layer=path,layer=path"; of the last form the entry for `layer` counts, or the only one. Relative paths
// start at `base_dir` (empty: the current folder).
Result<std::vector<std::string>> resolve_labels(std::string_view text,
                                                const std::filesystem::path& base_dir = {},
                                                std::string_view layer = {});

// One label per line; a CR and the final newline do not count, empty lines keep their index.
Result<std::vector<std::string>> read_labels_file(const std::filesystem::path& path);

// A list as element parameters take it: "<a,\"b, c\">".
std::string labels_text(const std::vector<std::string>& labels);

}  // namespace sightglass
