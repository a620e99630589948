// Parameters as text: what a user types and what is shown. Numbers are written as in C whatever the locale.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "sightglass/core/param.h"

namespace sightglass {
namespace {

constexpr std::string_view blanks = " \t\r\n";

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(blanks);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

// std::from_chars takes no leading plus.
std::string_view without_plus(std::string_view text) {
  return text.size() > 1 && text[0] == '+' && text[1] != '-' ? text.substr(1) : text;
}

Result<int64_t> parse_integer(const std::string& name, std::string_view text) {
  std::string_view digits = without_plus(trim(text));
  const bool hex = digits.starts_with("0x") || digits.starts_with("0X");
  if (hex) digits.remove_prefix(2);
  int64_t value = 0;
  const auto [behind, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, hex ? 16 : 10);
  if (behind != digits.data() + digits.size() || error == std::errc::invalid_argument ||
      (hex && digits[0] == '-'))
    return fail(ErrorCode::invalid_argument, "{}: expects a whole number, got '{}'", name, text);
  if (error == std::errc::result_out_of_range)
    return fail(ErrorCode::invalid_argument, "{}: {} is out of range ({} to {})", name, trim(text),
                std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max());
  return value;
}

Result<double> parse_number(const std::string& name, std::string_view text) {
  const std::string_view digits = without_plus(trim(text));
  double value = 0;
  const auto [behind, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (behind != digits.data() + digits.size() || error == std::errc::invalid_argument)
    return fail(ErrorCode::invalid_argument, "{}: expects a number, got '{}'", name, text);
  if (error == std::errc::result_out_of_range)
    return fail(ErrorCode::invalid_argument, "{}: {} is out of range (too large or too close to 0)", name,
                digits);
  if (!std::isfinite(value))
    return fail(ErrorCode::invalid_argument, "{}: expects a finite number, got '{}'", name, text);
  return value;
}

Result<bool> parse_boolean(const std::string& name, std::string_view text) {
  std::string word(trim(text));
  std::ranges::transform(word, word.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  if (word == "true" || word == "1" || word == "yes") return true;
  if (word == "false" || word == "0" || word == "no") return false;
  return fail(ErrorCode::invalid_argument, "{}: expects true or false, got '{}'", name, text);
}

Result<Fraction> parse_fraction(const std::string& name, std::string_view text) {
  const size_t slash = text.find('/');
  const auto num = parse_integer(name, text.substr(0, slash));
  const auto den = slash == text.npos ? Result<int64_t>(1) : parse_integer(name, text.substr(slash + 1));
  if (!num || !den || !std::in_range<int>(*num) || !std::in_range<int>(*den))
    return fail(ErrorCode::invalid_argument, "{}: expects a fraction such as 30/1, got '{}'", name, text);
  return Fraction{int(*num), int(*den)};
}

// The items of "<a,b>" or "a,b"; between double quotes everything stands for itself, but \" and \\.
Result<std::vector<std::string>> split(const std::string& name, std::string_view whole) {
  const auto wrong = [&](std::string_view what) {
    return fail(ErrorCode::invalid_argument, "{}: {} in the list '{}'", name, what, whole);
  };
  std::string_view text = trim(whole);
  if (text.starts_with('<') != text.ends_with('>')) return wrong("'<' and '>' do not match");
  if (text.starts_with('<')) {
    if (text.size() < 2) return wrong("'<' and '>' do not match");
    text = trim(text.substr(1, text.size() - 2));
  }
  std::vector<std::string> items;
  if (text.empty()) return items;
  while (true) {
    std::string item;
    text = trim(text);
    if (text.starts_with('"')) {
      size_t at = 1;
      for (; at < text.size() && text[at] != '"'; ++at) {
        if (text[at] == '\\' && at + 1 < text.size()) ++at;
        item += text[at];
      }
      if (at >= text.size()) return wrong("a quote is not closed");
      text = trim(text.substr(at + 1));
      if (!text.empty() && text[0] != ',') return wrong("a comma is missing");
    } else {
      const size_t comma = std::min(text.find(','), text.size());
      item = trim(text.substr(0, comma));
      if (item.empty()) return wrong("an item is empty");
      text = text.substr(comma);
    }
    items.push_back(std::move(item));
    if (text.empty()) return items;
    text.remove_prefix(1);
    if (trim(text).empty()) return wrong("an item is empty");
  }
}

template <class T>
Result<ParamValue> parse_list(const std::string& name, std::string_view text,
                              Result<T> (*parse_item)(const std::string&, std::string_view)) {
  auto items = split(name, text);
  if (!items) return forward_error(items);
  std::vector<T> values;
  values.reserve(items->size());
  for (const std::string& item : *items) {
    auto value = parse_item(name, item);
    if (!value) return forward_error(value);
    values.push_back(*value);
  }
  return ParamValue(std::move(values));
}

// Quoted where split() would otherwise read it differently.
std::string quoted(const std::string& item) {
  if (!item.empty() && item == trim(item) && item.find_first_of(",<>\"\\") == item.npos) return item;
  std::string text = "\"";
  for (char c : item) {
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text + '"';
}

std::string text_of(bool value) { return value ? "true" : "false"; }
std::string text_of(int64_t value) { return std::to_string(value); }
std::string text_of(double value) { return std::format("{}", value); }
std::string text_of(const std::string& value) { return value; }
std::string text_of(const Fraction& value) { return std::format("{}/{}", value.num, value.den); }
template <class T>
std::string text_of(const std::vector<T>& values) {
  std::string text = "<";
  for (const T& value : values) {
    if (text.size() > 1) text += ',';
    if constexpr (std::is_same_v<T, std::string>)
      text += quoted(value);
    else
      text += text_of(value);
  }
  return text + '>';
}

}  // namespace

std::string to_string(const ParamValue& value) {
  return std::visit([](const auto& held) { return text_of(held); }, value);
}

std::string ParamDesc::to_text(const ParamValue& value) const {
  const int64_t* number = std::get_if<int64_t>(&value);
  if (type == ParamType::choice && number)
    for (size_t i = 0; i < choice_names.size(); ++i)
      if (choice_value(i) == *number) return choice_names[i];
  return to_string(value);
}

Result<ParamValue> ParamDesc::parse(std::string_view text) const {
  const auto checked = [this](auto parsed) -> Result<ParamValue> {
    if (!parsed) return forward_error(parsed);
    return check(ParamValue(std::move(*parsed)));
  };
  switch (type) {
    case ParamType::boolean:
      return checked(parse_boolean(name, text));
    case ParamType::integer:
    case ParamType::unsigned_integer:
    case ParamType::integer64:
      return checked(parse_integer(name, text));
    case ParamType::number32:
    case ParamType::number:
      return checked(parse_number(name, text));
    case ParamType::fraction:
      return checked(parse_fraction(name, text));
    case ParamType::integers:
      return checked(parse_list(name, text, parse_integer));
    case ParamType::numbers:
      return checked(parse_list(name, text, parse_number));
    case ParamType::texts:
      return checked(split(name, text));
    case ParamType::text:
      return check(ParamValue(std::string(text)));
    case ParamType::choice: {
      const std::string_view word = trim(text);
      for (size_t i = 0; i < choice_names.size(); ++i)
        if (choice_names[i] == word) return ParamValue(int64_t(choice_value(i)));
      if (auto number = parse_integer(name, word)) return check(ParamValue(*number));
      return unknown_choice(text);
    }
  }
  return fail(ErrorCode::internal, "{}: a parameter of unknown type", name);
}

}  // namespace sightglass
