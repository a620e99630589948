// The generated pages of docs/: reference/ (every element and bin, from its descriptor), migrating.md (what
// has become of the names of older pipelines, from the tables that the bins use) and schema/ (JSON Schemas).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sightglass/core/result.h"

namespace sightglass::cli {

struct GeneratedPage {
  std::filesystem::path path;  // below docs/
  std::string text;
};
// GStreamer has to be initialised. An element or parameter without a text is an error.
Result<std::vector<GeneratedPage>> generated_pages();

// Writes them below `folder`, and removes pages of reference/ that there are no more.
Status write_pages(const std::filesystem::path& folder);

}  // namespace sightglass::cli
