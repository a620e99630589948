// Reading text that comes with the data, where nobody has checked that it is UTF-8.
#pragma once

#include <cstdint>
#include <string_view>

namespace sightglass {

inline constexpr char32_t replacement_character = 0xfffd;

// Takes the first character off `text`, which must not be empty. Bytes that are no valid UTF-8 (also overlong
// forms, surrogates and what lies beyond U+10FFFF) give the replacement character, one per byte.
inline char32_t next_character(std::string_view& text) {
  const auto byte = [&](size_t i) { return i < text.size() ? uint8_t(text[i]) : uint8_t(0); };
  const uint8_t lead = byte(0);
  const int length = lead < 0x80   ? 1
                     : lead < 0xc2 ? 0
                     : lead < 0xe0 ? 2
                     : lead < 0xf0 ? 3
                     : lead < 0xf5 ? 4
                                   : 0;
  char32_t character = length == 1 ? lead : length > 1 ? lead & (0x7f >> length) : replacement_character;
  for (int i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) {
      text.remove_prefix(1);
      return replacement_character;
    }
    character = character << 6 | (byte(i) & 0x3f);
  }
  const bool overlong = (length == 3 && character < 0x800) || (length == 4 && character < 0x10000);
  if (overlong || (character >= 0xd800 && character < 0xe000) || character > 0x10ffff) {
    text.remove_prefix(1);
    return replacement_character;
  }
  text.remove_prefix(length ? length : 1);
  return character;
}

}  // namespace sightglass
