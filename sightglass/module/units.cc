#include "sightglass/module/units.h"

#include <charconv>
#include <cmath>
#include <format>
#include <iterator>

namespace sightglass::module {
namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};
// Largest first, so that the text of a quantity is the shortest.
constexpr Unit durations[] = {{"d", 86'400'000'000'000},
                              {"h", 3'600'000'000'000},
                              {"m", 60'000'000'000},
                              {"s", 1'000'000'000},
                              {"ms", 1'000'000},
                              {"us", 1000},
                              {"ns", 1}};
constexpr Unit sizes[] = {{"GiB", 1u << 30}, {"MiB", 1u << 20}, {"KiB", 1u << 10}, {"GB", 1'000'000'000},
                          {"MB", 1'000'000}, {"kB", 1000},      {"B", 1},          {"", 1}};
constexpr Unit rates[] = {{"G", 1'000'000'000}, {"M", 1'000'000}, {"k", 1000}, {"", 1}};

template <size_t N>
Result<uint64_t> parse(std::string_view text, const Unit (&units)[N], std::string_view what,
                       bool zero_is_plain) {
  const auto wrong = [&](std::string_view why) {
    std::string names;
    for (const Unit& unit : units)
      if (!unit.name.empty()) names += std::string(names.empty() ? "" : ", ") + std::string(unit.name);
    return fail(ErrorCode::invalid_argument, "'{}' is no {}: {}; units are {}", text, what, why, names);
  };
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  if (error != std::errc()) return wrong("it does not begin with a number");
  if (number < 0 || !std::isfinite(number)) return wrong("it is negative or too large");
  std::string_view name(rest, size_t(end - rest));
  while (name.starts_with(' ')) name.remove_prefix(1);
  if (name.empty() && zero_is_plain && number == 0) return 0;
  for (const Unit& unit : units) {
    if (unit.name != name) continue;
    const double value = number * double(unit.factor);
    // What a double holds exactly is more than a hundred days of nanoseconds.
    if (value > 9e18) return wrong("it is too large");
    return uint64_t(std::llround(value));
  }
  return wrong(name.empty() ? "it has no unit" : std::format("'{}' is no unit", name));
}

template <size_t N>
std::string text(uint64_t value, const Unit (&units)[N]) {
  for (const Unit& unit : units)
    if (value % unit.factor == 0 && value != 0) return std::format("{}{}", value / unit.factor, unit.name);
  return std::format("0{}", N > 4 && units[N - 1].name == "ns" ? "s" : "");
}

}  // namespace

Result<Time> parse_duration(std::string_view text) {
  auto value = parse(text, durations, "duration", true);
  if (!value) return forward_error(value);
  return Time(*value);
}
Result<uint64_t> parse_size(std::string_view text) { return parse(text, sizes, "size", true); }
Result<uint64_t> parse_rate(std::string_view text) { return parse(text, rates, "rate", true); }

Result<double> parse_percent(std::string_view text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  std::string_view name(rest, size_t(end - rest));
  while (name.starts_with(' ')) name.remove_prefix(1);
  if (error != std::errc() || name != "%" || !std::isfinite(number))
    return fail(ErrorCode::invalid_argument, "'{}' is no percentage such as 20%", text);
  return number / 100;
}

std::string duration_text(Time nanoseconds) { return text(uint64_t(nanoseconds), durations); }
std::string size_text(uint64_t bytes) { return text(bytes, sizes); }
std::string rate_text(uint64_t per_second) { return text(per_second, rates); }

}  // namespace sightglass::module
