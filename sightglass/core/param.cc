#include "sightglass/core/param.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

namespace sightglass {
namespace {

std::string_view expectation(ParamType type) {
  switch (type) {
    case ParamType::boolean:
      return "true or false";
    case ParamType::integer:
    case ParamType::unsigned_integer:
    case ParamType::integer64:
      return "a whole number";
    case ParamType::number32:
    case ParamType::number:
      return "a number";
    case ParamType::text:
      return "text";
    case ParamType::choice:
      return "the name or number of a choice";
    case ParamType::integers:
      return "a list of whole numbers";
    case ParamType::numbers:
      return "a list of numbers";
    case ParamType::texts:
      return "a list of texts";
    case ParamType::fraction:
      return "a fraction such as 30/1";
  }
  return "?";
}

// 2^63 is the first double that an int64_t cannot hold.
bool is_whole(double value) { return value >= -0x1p63 && value < 0x1p63 && value == std::trunc(value); }

// Of whatever kind: the caller of an empty list may not know of what.
bool is_empty_list(const ParamValue& value) {
  return value == ParamValue(std::vector<int64_t>{}) || value == ParamValue(std::vector<double>{}) ||
         value == ParamValue(std::vector<std::string>{});
}

std::pair<double, double> limits_of(ParamType type) {
  switch (type) {
    case ParamType::integer:
      return {std::numeric_limits<int>::min(), std::numeric_limits<int>::max()};
    case ParamType::unsigned_integer:
      return {0, std::numeric_limits<unsigned>::max()};
    case ParamType::number32:
      return {std::numeric_limits<float>::lowest(), std::numeric_limits<float>::max()};
    default:
      return {std::numeric_limits<double>::lowest(), std::numeric_limits<double>::max()};
  }
}

std::string name_of(const ParamValue& value) {
  return std::holds_alternative<std::string>(value) ? "'" + std::get<std::string>(value) + "'"
                                                    : to_string(value);
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

}  // namespace

ParamDesc&& ParamDesc::range(double least, double most) && {
  min = least, max = most;
  return std::move(*this);
}

ParamDesc&& ParamDesc::in(std::string_view unit_name) && {
  unit = unit_name;
  return std::move(*this);
}

ParamDesc&& ParamDesc::live() && {
  is_live = true;
  return std::move(*this);
}

ParamDesc&& ParamDesc::required() && {
  is_required = true;
  return std::move(*this);
}

ParamDesc&& ParamDesc::choices(std::vector<std::string> names, std::vector<int> values) && {
  assert(values.empty() || values.size() == names.size());
  choice_names = std::move(names);
  choice_values = std::move(values);
  return std::move(*this);
}

std::unexpected<Error> ParamDesc::unknown_choice(std::string_view value) const {
  return fail(ErrorCode::invalid_argument, "{}: '{}' is unknown; one of: {}", name, value,
              joined(choice_names));
}

Status ParamDesc::check_range(double value, const ParamValue& shown) const {
  if (!std::isfinite(value))
    return fail(ErrorCode::invalid_argument, "{}: expects a finite number, got {}", name, value);
  const auto [type_least, type_most] = limits_of(type);
  const double least = std::max(min, type_least), most = std::min(max, type_most);
  if (value >= least && value <= most) return {};
  const auto shown_limit = [](double limit) {  // 100000, not 1e+05
    const bool is_whole = std::abs(limit) < 1e15 && limit == std::trunc(limit);
    return is_whole ? std::format("{:.0f}", limit) : std::format("{}", limit);
  };
  std::string allowed;
  if (most == type_most && least != type_least)
    allowed = "at least " + shown_limit(least);
  else if (least == type_least && most != type_most)
    allowed = "at most " + shown_limit(most);
  else
    allowed = shown_limit(least) + " to " + shown_limit(most);
  if (!unit.empty()) allowed += ' ' + unit;
  return fail(ErrorCode::invalid_argument, "{}: {} is out of range ({})", name, to_string(shown), allowed);
}

Result<ParamValue> ParamDesc::check(const ParamValue& value) const {
  const auto wrong_type = [&] {
    return fail(ErrorCode::invalid_argument, "{}: expects {}, got {}", name, expectation(type),
                name_of(value));
  };
  const auto in_range = [&](double number, ParamValue result) -> Result<ParamValue> {
    if (auto status = check_range(number, result); !status) return forward_error(status);
    return result;
  };
  const bool* boolean = std::get_if<bool>(&value);
  const int64_t* integer = std::get_if<int64_t>(&value);
  const double* number = std::get_if<double>(&value);
  const std::string* text = std::get_if<std::string>(&value);
  const auto* integers = std::get_if<std::vector<int64_t>>(&value);
  const auto* numbers = std::get_if<std::vector<double>>(&value);
  if (text && type != ParamType::text) return parse(*text);

  switch (type) {
    case ParamType::boolean:
      if (boolean) return value;
      if (integer && (*integer == 0 || *integer == 1)) return ParamValue(*integer == 1);
      return wrong_type();

    case ParamType::integer:
    case ParamType::unsigned_integer:
    case ParamType::integer64:
      if (integer) return in_range(double(*integer), value);
      if (number && is_whole(*number)) return in_range(*number, int64_t(*number));
      return wrong_type();

    case ParamType::number32:
    case ParamType::number:
      if (number) return in_range(*number, value);
      if (integer) return in_range(double(*integer), double(*integer));
      return wrong_type();

    case ParamType::text:
      if (!text) return wrong_type();
      if (!choice_names.empty() && !std::ranges::contains(choice_names, *text)) return unknown_choice(*text);
      return value;

    case ParamType::choice: {
      if (!integer && !(number && is_whole(*number))) return wrong_type();
      const int64_t chosen = integer ? *integer : int64_t(*number);
      for (size_t i = 0; i < choice_names.size(); ++i)
        if (choice_value(i) == chosen) return ParamValue(chosen);
      return unknown_choice(std::to_string(chosen));
    }

    case ParamType::integers: {
      if (is_empty_list(value)) return ParamValue(std::vector<int64_t>{});
      std::vector<int64_t> list;
      if (integers)
        list = *integers;
      else if (integer)
        list = {*integer};
      else if (numbers && std::ranges::all_of(*numbers, is_whole))
        list.assign(numbers->begin(), numbers->end());
      else
        return wrong_type();
      for (int64_t item : list)
        if (auto status = check_range(double(item), item); !status) return forward_error(status);
      return ParamValue(std::move(list));
    }

    case ParamType::numbers: {
      if (is_empty_list(value)) return ParamValue(std::vector<double>{});
      std::vector<double> list;
      if (numbers)
        list = *numbers;
      else if (integers)
        list.assign(integers->begin(), integers->end());
      else if (number)
        list = {*number};
      else if (integer)
        list = {double(*integer)};
      else
        return wrong_type();
      for (double item : list)
        if (auto status = check_range(item, item); !status) return forward_error(status);
      return ParamValue(std::move(list));
    }

    case ParamType::texts:
      if (is_empty_list(value)) return ParamValue(std::vector<std::string>{});
      if (!std::holds_alternative<std::vector<std::string>>(value)) return wrong_type();
      for (const std::string& item : std::get<std::vector<std::string>>(value))
        if (!choice_names.empty() && !std::ranges::contains(choice_names, item)) return unknown_choice(item);
      return value;

    case ParamType::fraction: {
      Fraction fraction;
      if (const auto* given = std::get_if<Fraction>(&value))
        fraction = *given;
      else if (integer && std::in_range<int>(*integer))
        fraction = {int(*integer), 1};
      else if (integers && integers->size() == 2 && std::in_range<int>((*integers)[0]) &&
               std::in_range<int>((*integers)[1]))
        fraction = {int((*integers)[0]), int((*integers)[1])};
      else
        return wrong_type();
      if (fraction.den <= 0)
        return fail(ErrorCode::invalid_argument, "{}: {} has no positive denominator", name,
                    to_string(fraction));
      return in_range(double(fraction.num) / fraction.den, fraction);
    }
  }
  return fail(ErrorCode::internal, "{}: a parameter of unknown type", name);
}

const ParamDesc* ParamTable::find(std::string_view name) const {
  const auto alike = [](char a, char b) { return (a == '_' ? '-' : a) == (b == '_' ? '-' : b); };
  for (const ParamDesc& desc : params)
    if (std::ranges::equal(desc.name, name, alike)) return &desc;
  return nullptr;
}

ParamSet::ParamSet(const ParamTable& table)
    : table_(&table), values_(table.clone ? table.clone(nullptr) : nullptr), set_(table.params.size()) {}

ParamSet::ParamSet(const ParamSet& other)
    : table_(other.table_),
      values_(other.values_ ? table_->clone(other.values_.get()) : nullptr),
      set_(other.set_) {}

ParamSet& ParamSet::operator=(const ParamSet& other) {
  ParamSet copy(other);
  std::swap(table_, copy.table_);
  std::swap(values_, copy.values_);
  std::swap(set_, copy.set_);
  return *this;
}

Result<const ParamDesc*> ParamSet::known(std::string_view name) const {
  if (const ParamDesc* desc = table_->find(name)) return desc;
  std::vector<std::string> names;
  for (const ParamDesc& desc : table_->params) names.push_back(desc.name);
  return fail(ErrorCode::not_found, "there is no parameter '{}'; one of: {}", name,
              names.empty() ? "none" : joined(names));
}

Status ParamSet::store(const ParamDesc& desc, Result<ParamValue> value) {
  if (!value) return forward_error(value);
  if (desc.is_readable_only) return fail(ErrorCode::invalid_argument, "{}: can be read only", desc.name);
  desc.store(values_.get(), *value);
  set_[size_t(&desc - table_->params.data())] = true;
  return {};
}

Status ParamSet::set(std::string_view name, const ParamValue& value) {
  auto desc = known(name);
  if (!desc) return forward_error(desc);
  return store(**desc, (*desc)->check(value));
}

Status ParamSet::set_text(std::string_view name, std::string_view text) {
  auto desc = known(name);
  if (!desc) return forward_error(desc);
  return store(**desc, (*desc)->parse(text));
}

Result<ParamValue> ParamSet::get(std::string_view name) const {
  auto desc = known(name);
  if (!desc) return forward_error(desc);
  return (*desc)->load(values_.get());
}

bool ParamSet::is_set(std::string_view name) const {
  const ParamDesc* desc = table_->find(name);
  return desc && set_[size_t(desc - table_->params.data())];
}

}  // namespace sightglass
