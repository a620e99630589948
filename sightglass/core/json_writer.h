// Writes JSON text, piece by piece, to the end of a string.
//
//   JsonWriter json(text);
//   json.begin_object();
//   json.field("name", "cup");
//   json.key("box");
//   json.begin_array();
//   for (float side : sides) json.value(side);
//   json.end_array();
//   json.end_object();  // {"name":"cup","box":[0.1,0.25]}
//
// The same on every machine and in every locale. Numbers are the shortest that read back as the same value;
// those that are not finite become null; bytes that are no UTF-8 become U+FFFD. No allocation once the string
// is large enough. Up to 64 levels.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace sightglass {

class JsonWriter {
 public:
  // `indent`: spaces per level; -1: everything on one line.
  explicit JsonWriter(std::string& text, int indent = -1) : text_(text), indent_(indent) {}

  void begin_object() { open('{'); }
  void end_object() { close('}'); }
  void begin_array() { open('['); }
  void end_array() { close(']'); }
  void key(std::string_view name);
  // A key in two parts, joined.
  void key(std::string_view name, std::string_view suffix);

  void value(std::string_view text);
  void value(const char* text) { value(std::string_view(text)); }
  void value(float number);
  void value(double number);
  void value(bool is_true) { raw(is_true ? "true" : "false"); }
  void value(std::nullptr_t) { raw("null"); }
  template <std::integral T>
  void value(T number) {
    if constexpr (std::signed_integral<T>)
      integer(number);
    else
      natural(number);
  }
  // A value that is JSON already.
  void raw(std::string_view json);

  template <class T>
  void field(std::string_view name, const T& content) {
    key(name);
    value(content);
  }

 private:
  void open(char bracket);
  void close(char bracket);
  void before_value();
  void new_line();
  void integer(int64_t number);
  void natural(uint64_t number);
  void escaped(std::string_view text);

  std::string& text_;
  int indent_;
  int depth_ = 0;
  uint64_t has_items_ = 0;  // a bit per level
  bool after_key_ = false;
};

}  // namespace sightglass
