// What a user calls an input: a camera's number, a video, pictures (files, a folder, a pattern), a URL, or
// the name of a fetched sample.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sightglass/core/result.h"

namespace sightglass::cli {

struct Input {
  enum class Kind { camera, video, pictures, url } kind = Kind::video;
  std::string name;     // as shown to people
  std::string address;  // device, path or URL
  std::vector<std::filesystem::path> pictures;
};

// Files are told apart by their first bytes, not by their names.
Result<Input> find_input(const std::vector<std::string>& words);

bool is_picture(const std::filesystem::path& file);

}  // namespace sightglass::cli
