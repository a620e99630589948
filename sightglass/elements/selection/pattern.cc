#include "sightglass/elements/selection/pattern.h"

#include <cstdint>

namespace sightglass {
namespace {

// One code point, or one byte where the text is no UTF-8.
char32_t next_character(std::string_view text, size_t& at) {
  const uint8_t first = uint8_t(text[at++]);
  const int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : first >= 0xC0 ? 1 : 0;
  if (more == 0 || at + size_t(more) > text.size()) return first;
  char32_t point = first & (0x3F >> more);
  for (int i = 0; i < more; ++i) {
    const uint8_t byte = uint8_t(text[at + size_t(i)]);
    if ((byte & 0xC0) != 0x80) return first;
    point = point << 6 | (byte & 0x3F);
  }
  at += size_t(more);
  return point;
}

// Behind the set that begins at `at`, its first character behind '['. The first member may be ']'.
struct SetResult {
  bool contains = false;
  size_t end = 0;  // npos: not closed
};
SetResult look_into_set(std::string_view pattern, size_t at, char32_t character) {
  bool negated = false, found = false, first = true;
  if (at < pattern.size() && (pattern[at] == '!' || pattern[at] == '^')) negated = true, ++at;
  const auto member = [&] {
    if (pattern[at] == '\\' && at + 1 < pattern.size()) ++at;
    return next_character(pattern, at);
  };
  for (; at < pattern.size(); first = false) {
    if (pattern[at] == ']' && !first) return {found != negated, at + 1};
    const char32_t low = member();
    char32_t high = low;
    if (at + 1 < pattern.size() && pattern[at] == '-' && pattern[at + 1] != ']') {
      ++at;
      high = member();
    }
    found |= character >= low && character <= high;
  }
  return {false, std::string_view::npos};
}

}  // namespace

Status check_glob(std::string_view pattern) {
  if (pattern.size() > max_pattern_length)
    return fail(ErrorCode::invalid_argument, "a pattern has at most {} characters", max_pattern_length);
  for (size_t at = 0; at < pattern.size();) {
    if (pattern[at] == '\\') {
      if (at + 1 == pattern.size())
        return fail(ErrorCode::invalid_argument, "'{}' ends with a lone backslash", pattern);
      at += 2;
    } else if (pattern[at] == '[') {
      at = look_into_set(pattern, at + 1, 0).end;
      if (at == std::string_view::npos)
        return fail(ErrorCode::invalid_argument, "'{}': the set that '[' begins is not closed by ']'",
                    pattern);
    } else {
      ++at;
    }
  }
  return {};
}

bool glob_matches(std::string_view pattern, std::string_view text) {
  constexpr size_t none = std::string_view::npos;
  size_t p = 0, t = 0, star = none, star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
      continue;
    }
    size_t next_text = t;
    const char32_t character = next_character(text, next_text);
    bool fits = false;
    size_t next = p;
    if (p < pattern.size()) {
      if (pattern[p] == '?') {
        fits = true, ++next;
      } else if (pattern[p] == '[') {
        const SetResult set = look_into_set(pattern, p + 1, character);
        fits = set.contains && set.end != none, next = set.end;
      } else {
        if (pattern[p] == '\\' && p + 1 < pattern.size()) ++next;
        fits = next_character(pattern, next) == character;
      }
    }
    if (fits) {
      p = next, t = next_text;
    } else if (star != none) {
      // The last star takes one character more.
      next_character(text, star_text);
      t = star_text, p = star + 1;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace sightglass
