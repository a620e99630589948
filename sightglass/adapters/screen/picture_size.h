// Sizes of pictures as people write them: 1280x720.
#pragma once

#include <charconv>
#include <string_view>
#include <utility>

#include "sightglass/core/result.h"

namespace sightglass::adapters {

// Even, 16 to 8192.
inline Result<std::pair<int, int>> parse_picture_size(std::string_view text) {
  const size_t times = text.find('x');
  int sides[2] = {};
  const std::string_view parts[] = {text.substr(0, times), times == text.npos ? "" : text.substr(times + 1)};
  bool is_good = true;
  for (int i = 0; i < 2; ++i) {
    const auto read = std::from_chars(parts[i].data(), parts[i].data() + parts[i].size(), sides[i]);
    is_good = is_good && read.ec == std::errc{} && read.ptr == parts[i].data() + parts[i].size() &&
              sides[i] >= 16 && sides[i] <= 8192 && sides[i] % 2 == 0;
  }
  if (is_good) return std::pair(sides[0], sides[1]);
  return fail(ErrorCode::invalid_argument,
              "size: '{}' is not as in 1280x720, with even numbers of 16 to 8192", text);
}

}  // namespace sightglass::adapters
