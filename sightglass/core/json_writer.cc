#include "sightglass/core/json_writer.h"

#include <cassert>
#include <charconv>
#include <cmath>

#include "sightglass/core/utf8.h"

namespace sightglass {
namespace {

template <class T>
void append_number(std::string& text, T number) {
  char digits[32];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, number);
  if (error == std::errc{}) text.append(digits, end);
}

// How many characters at the front stand for themselves; most do, in keys all of them.
size_t plain_prefix(std::string_view text) {
  size_t size = 0;
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

void JsonWriter::key(std::string_view name) { key(name, {}); }

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
