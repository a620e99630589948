// Writes BSON, piece by piece, to the end of a string: with the functions of JsonWriter, so that the same
// code writes both, and with the same rules. What it writes is what JsonToBson makes of that JSON: whole
// numbers are int32 where they fit, others the double that their shortest decimal text reads as; numbers that
// are not finite become null; bytes that are no UTF-8 become U+FFFD.
//
//   BsonWriter out(bytes);
//   out.begin_object();
//   out.field("name", "cup");
//   out.date("made", ms);
//   out.end_object();
//   out.is_good();  // false: a name has a NUL in it, which BSON cannot say
//
// No allocation once the string is large enough. Up to 64 levels.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace sightglass::adapters {

class BsonWriter {
 public:
  explicit BsonWriter(std::string& bytes) : bytes_(bytes) {}

  void begin_object() { open(type_document); }
  void end_object() { close(); }
  void begin_array() { open(type_array); }
  void end_array() { close(); }
  // Has to last until its value has been written.
  void key(std::string_view name) { key_ = name; }

  void value(std::string_view text);
  void value(const char* text) { value(std::string_view(text)); }
  void value(float number);
  void value(double number);
  void value(bool is_true);
  void value(std::nullptr_t);
  template <std::integral T>
  void value(T number) {
    if (!std::in_range<int64_t>(number)) return value(double(number));
    integer(int64_t(number));
  }

  template <class T>
  void field(std::string_view name, const T& content) {
    key(name);
    value(content);
  }
  void date(std::string_view name, int64_t unix_ms);
  // Entries that are BSON already, one behind the other.
  void entries(std::string_view bson) { bytes_ += bson; }

  bool is_good() const { return is_good_; }

 private:
  static constexpr char type_double = 1, type_text = 2, type_document = 3, type_array = 4, type_bool = 8,
                        type_date = 9, type_null = 10, type_int32 = 16, type_int64 = 18;
  struct Level {
    size_t begin = 0;
    uint32_t items = 0;
    bool is_array = false;
  };
  void open(char type);
  void close();
  void integer(int64_t number);
  void by_text(const char* begin, const char* end);
  template <class T>
  void entry(char type, T value);
  void entry(char type, std::string_view value = {});
  void text(std::string_view text);

  std::string& bytes_;
  std::string_view key_;
  std::array<Level, 64> levels_;
  size_t depth_ = 0;
  bool is_good_ = true;
};

// The double that the shortest decimal text of `number` reads as: 0.1 for 0.1f.
double decimal_double(float number);

}  // namespace sightglass::adapters
