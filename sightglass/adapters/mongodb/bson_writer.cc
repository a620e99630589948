#include "sightglass/adapters/mongodb/bson_writer.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <charconv>
#include <cmath>
#include <cstring>
#include <system_error>

#include "sightglass/core/utf8.h"

namespace sightglass::adapters {
namespace {

static_assert(std::endian::native == std::endian::little);  // as BSON is

// A whole number below this is written in full in JSON, and so is a whole number there; beyond, its text
// decides (1e+05).
constexpr double most_plain = 1e5;

constexpr std::array<double, 15> powers = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6, 1e7,
                                           1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14};

// Whether it stands for itself as text, in a name as well: ASCII without NUL.
bool is_plain(std::string_view text) {
  constexpr uint64_t ones = 0x0101010101010101, high = 0x8080808080808080;
  size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) {
    uint64_t eight;
    std::memcpy(&eight, text.data() + at, sizeof eight);
    if (((eight - ones) | eight) & high) return false;
  }
  for (; at < text.size(); ++at)
    if (uint8_t(text[at] - 1) >= 0x7f) return false;
  return true;
}

}  // namespace

double decimal_double(float number) {
  const double size = std::fabs(double(number));
  // Six digits tell all floats of their decade apart, nine are always enough.
  if (size >= 1e-5 && size < 1e7) {
    const int two = int(std::bit_cast<uint64_t>(size) >> 52) - 1023;
    int ten = (two * 1233) >> 12;  // of its first digit, or one less
    if (size >= (ten + 1 >= 0 ? powers[size_t(ten + 1)] : 1 / powers[size_t(-ten - 1)])) ++ten;
    for (int digits = 6; digits <= 9; ++digits) {
      const int places = std::max(digits - 1 - ten, 0);
      const double power = powers[size_t(places)];
      // To the next whole number, ties to the even one: doubles of this size have no fraction.
      const double whole = size * power + 0x1p52 - 0x1p52;
      // Both are whole and exact, so this is the double closest to the decimal.
      const double candidate = whole / power;
      if (double(float(candidate)) == size) return std::copysign(candidate, double(number));
    }
  }
  char digits[32];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, number);
  double read = 0;
  (void)std::from_chars(digits, end, read);
  return read;
}

// Type, name and value, appended at once.
template <class T>
void BsonWriter::entry(char type, T value) {
  entry(type, std::string_view(reinterpret_cast<const char*>(&value), sizeof value));
}

void BsonWriter::entry(char type, std::string_view value) {
  std::array<char, 96> head;
  size_t size = 0;
  head[size++] = type;
  Level* const level = depth_ > 0 ? &levels_[depth_ - 1] : nullptr;
  if (level && level->is_array) {
    size = size_t(std::to_chars(head.data() + size, head.data() + 16, level->items++).ptr - head.data());
  } else if (key_.size() + value.size() + 2 <= head.size() && is_plain(key_)) {
    std::memcpy(head.data() + size, key_.data(), key_.size());
    size += key_.size();
  } else {
    bytes_ += type;
    is_good_ = is_good_ && !key_.contains('\0');
    text(key_);
    size = 0;
  }
  head[size++] = '\0';
  if (size + value.size() > head.size()) {
    bytes_.append(head.data(), size);
    bytes_ += value;
    return;
  }
  std::memcpy(head.data() + size, value.data(), value.size());
  bytes_.append(head.data(), size + value.size());
}

void BsonWriter::text(std::string_view text) {
  if (is_plain(text)) {
    bytes_ += text;
    return;
  }
  while (!text.empty()) {
    const std::string_view rest = text;
    if (next_character(text) == replacement_character)
      bytes_ += "\xef\xbf\xbd";
    else
      bytes_.append(rest, 0, rest.size() - text.size());
  }
}

void BsonWriter::open(char type) {
  assert(depth_ < levels_.size());
  if (depth_ > 0) entry(type);
  levels_[depth_++] = {.begin = bytes_.size(), .is_array = type == type_array};
  bytes_.append(4, '\0');
}

void BsonWriter::close() {
  assert(depth_ > 0);
  bytes_ += '\0';
  const size_t begin = levels_[--depth_].begin;
  const auto size = int32_t(bytes_.size() - begin);
  std::memcpy(bytes_.data() + begin, &size, sizeof size);
}

void BsonWriter::value(std::string_view content) {
  entry(type_text, int32_t(content.size() + 1));
  const size_t begin = bytes_.size();
  text(content);
  bytes_ += '\0';
  const auto size = int32_t(bytes_.size() - begin);
  std::memcpy(bytes_.data() + begin - sizeof size, &size, sizeof size);
}

void BsonWriter::value(float number) {
  if (!std::isfinite(number)) return value(nullptr);
  if (std::fabs(number) < most_plain && number == std::trunc(number)) return integer(int64_t(number));
  if (number != std::trunc(number)) return entry(type_double, decimal_double(number));
  char digits[32];
  by_text(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

void BsonWriter::value(double number) {
  if (!std::isfinite(number)) return value(nullptr);
  if (std::fabs(number) < most_plain && number == std::trunc(number)) return integer(int64_t(number));
  if (number != std::trunc(number)) return entry(type_double, number);
  char digits[32];
  by_text(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

// A number as JSON has it.
void BsonWriter::by_text(const char* begin, const char* end) {
  int64_t whole = 0;
  if (const auto [stop, error] = std::from_chars(begin, end, whole); error == std::errc{} && stop == end)
    return integer(whole);
  double real = 0;
  (void)std::from_chars(begin, end, real);
  entry(type_double, real);
}

void BsonWriter::value(bool is_true) { entry(type_bool, char(is_true)); }

void BsonWriter::value(std::nullptr_t) { entry(type_null); }

void BsonWriter::integer(int64_t number) {
  if (std::in_range<int32_t>(number))
    entry(type_int32, int32_t(number));
  else
    entry(type_int64, number);
}

void BsonWriter::date(std::string_view name, int64_t unix_ms) {
  key(name);
  entry(type_date, unix_ms);
}

}  // namespace sightglass::adapters
