// SHA-256 (FIPS 180-4), to check what was downloaded.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "sightglass/core/result.h"

namespace sightglass {

// 64 hexadecimal digits, lower case.
std::string sha256(std::string_view bytes);
Result<std::string> sha256_of_file(const std::filesystem::path& path);

}  // namespace sightglass
