// Patterns for `matches`, as shells have them for file names. The whole text has to match:
//
//   *      any characters, none too         ?      one character (a code point of UTF-8)
//   [a-z]  one of a set, [!a-z] none of it  \x     x itself
//
//   glob_matches("cam-[0-9]*", "cam-12") == true
//
// Never more comparisons than the lengths of text and pattern multiplied: there is no going back but to the
// last star.
#pragma once

#include <string_view>

#include "sightglass/core/result.h"

namespace sightglass {

inline constexpr size_t max_pattern_length = 256;

Status check_glob(std::string_view pattern);  // too long, a set that is not closed, a lone '\'
bool glob_matches(std::string_view pattern, std::string_view text);  // of a pattern that has been checked

}  // namespace sightglass
