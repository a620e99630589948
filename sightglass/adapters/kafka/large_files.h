// Pictures that are too large for a message: a file holds them, and the message its name (stream::Location).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sightglass/stream/messages.h"

namespace sightglass::adapters {

// W-10: below one of `allowed`, also when links are followed; these are relative to `folder`. None: not
// there, or not allowed.
std::optional<std::filesystem::path> find_large_file(const stream::Location& location,
                                                     const std::string& folder,
                                                     std::span<const std::string> allowed);
// None also when it is larger than `most` bytes, or shorter than the location says.
std::optional<std::vector<uint8_t>> read_large_file(const stream::Location& location,
                                                    const std::string& folder,
                                                    std::span<const std::string> allowed, size_t most);

}  // namespace sightglass::adapters
