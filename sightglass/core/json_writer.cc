#include "sightglass/core/json_writer.h"

#include <cassert>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "sightglass/core/utf8.h"

namespace sightglass {
namespace {

template <class T>
void append_number(std::string& text, T number) {
  char digits[32];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, number);
  if (error == std::errc{}) text.append(digits, end);
}

// Whether a byte of the eight stands for something else as JSON, or may.
bool has_special(uint64_t eight) {
  constexpr uint64_t ones = 0x0101010101010101, high = 0x80 * ones;
  const auto has_zero = [](uint64_t bytes) { return (bytes - ones) & ~bytes & high; };
  const uint64_t control = (eight - 0x20 * ones) & ~eight & high, beyond = (eight | (eight + ones)) & high;
  return (control | beyond | has_zero(eight ^ ('"' * ones)) | has_zero(eight ^ ('\\' * ones))) != 0;
}

// How many characters at the front stand for themselves; most do, in keys all of them.
size_t plain_prefix(std::string_view text) {
  size_t size = 0;
  for (; size + 8 <= text.size(); size += 8) {
    uint64_t eight;
    std::memcpy(&eight, text.data() + size, sizeof eight);
    if (has_special(eight)) break;
  }
  while (size < text.size()) {
    const auto byte = static_cast<unsigned char>(text[size]);
    if (byte < 0x20 || byte > 0x7e || byte == '"' || byte == '\\') break;
    ++size;
  }
  return size;
}

}  // namespace

void JsonWriter::new_line() {
  if (indent_ < 0) return;
  text_ += '\n';
  text_.append(size_t(depth_) * indent_, ' ');
}

void JsonWriter::before_value() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (depth_ == 0) return;
  const uint64_t bit = uint64_t(1) << (depth_ - 1);
  if (has_items_ & bit) text_ += ',';
  has_items_ |= bit;
  new_line();
}

void JsonWriter::open(char bracket) {
  assert(depth_ < 64);
  before_value();
  text_ += bracket;
  has_items_ &= ~(uint64_t(1) << depth_);
  ++depth_;
}

void JsonWriter::close(char bracket) {
  assert(depth_ > 0 && !after_key_);
  --depth_;
  if (has_items_ & uint64_t(1) << depth_) new_line();
  text_ += bracket;
}

void JsonWriter::key(std::string_view name) {
  // Nearly all: short, and written as they are.
  char all[64];
  if (indent_ >= 0 || depth_ == 0 || name.size() > sizeof all - 4 || plain_prefix(name) != name.size())
    return key(name, {});
  const uint64_t bit = uint64_t(1) << (depth_ - 1);
  char* at = all;
  if (has_items_ & bit) *at++ = ',';
  has_items_ |= bit;
  *at++ = '"';
  std::memcpy(at, name.data(), name.size());
  at += name.size();
  *at++ = '"';
  *at++ = ':';
  text_.append(all, at);
  after_key_ = true;
}

void JsonWriter::key(std::string_view name, std::string_view suffix) {
  before_value();
  text_ += '"';
  escaped(name);
  escaped(suffix);
  text_ += indent_ < 0 ? "\":" : "\": ";
  after_key_ = true;
}

void JsonWriter::value(std::string_view text) {
  before_value();
  char all[64];
  if (text.size() <= sizeof all - 2 && plain_prefix(text) == text.size()) {
    all[0] = '"';
    if (!text.empty()) std::memcpy(all + 1, text.data(), text.size());
    all[text.size() + 1] = '"';
    text_.append(all, text.size() + 2);
    return;
  }
  text_ += '"';
  escaped(text);
  text_ += '"';
}

void JsonWriter::value(float number) {
  if (!std::isfinite(number)) return value(nullptr);
  before_value();
  append_number(text_, number);
}

void JsonWriter::value(double number) {
  if (!std::isfinite(number)) return value(nullptr);
  before_value();
  append_number(text_, number);
}

void JsonWriter::integer(int64_t number) {
  before_value();
  append_number(text_, number);
}

void JsonWriter::natural(uint64_t number) {
  before_value();
  append_number(text_, number);
}

void JsonWriter::raw(std::string_view json) {
  before_value();
  text_ += json;
}

void JsonWriter::escaped(std::string_view text) {
  constexpr const char* hex = "0123456789abcdef";
  for (;;) {
    const size_t plain = plain_prefix(text);
    text_.append(text.data(), plain);
    text.remove_prefix(plain);
    if (text.empty()) return;
    const size_t size = text.size();
    const char* start = text.data();
    const char32_t character = next_character(text);
    const size_t length = size - text.size();
    switch (character) {
      case '"':
        text_ += "\\\"";
        break;
      case '\\':
        text_ += "\\\\";
        break;
      case '\n':
        text_ += "\\n";
        break;
      case '\r':
        text_ += "\\r";
        break;
      case '\t':
        text_ += "\\t";
        break;
      case replacement_character:
        text_ += "\xef\xbf\xbd";
        break;
      default:
        if (character < 0x20) {
          text_ += "\\u00";
          text_ += hex[character >> 4];
          text_ += hex[character & 15];
        } else {
          text_.append(start, length);
        }
    }
  }
}

}  // namespace sightglass
