// Parameters of elements, declared once. From a ParamDesc follow the GStreamer property, the Python keyword,
// the YAML key, the help text and the checks; the element itself sees a plain struct.
//
//   struct Params { double threshold = 0.5; Method method = Method::max; };
//   ParamTable::of<Params>({
//       param("threshold", &Params::threshold, "least score that is kept").range(0, 1).live(),
//       param("method", &Params::method, "how the label is chosen").choices({"max", "softmax"}),
//   })
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "sightglass/core/result.h"
#include "sightglass/core/video.h"

namespace sightglass {

enum class ParamType : uint8_t {
  boolean,
  integer,
  unsigned_integer,
  integer64,
  number32,
  number,
  text,
  choice,
  integers,
  numbers,
  texts,
  fraction
};

// A value on its way in or out. Enums travel as their number (int64_t).
using ParamValue = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>, std::vector<double>,
                                std::vector<std::string>, Fraction>;
std::string to_string(const ParamValue& value);

struct ParamDesc {
  std::string name;  // words joined by '-'
  std::string doc;   // one line, no full stop
  ParamType type = ParamType::text;
  ParamValue default_value;
  double min = std::numeric_limits<double>::lowest(), max = std::numeric_limits<double>::max();
  std::string unit;                       // "px", "ms", …; empty: none
  bool is_live = false;                   // may change while frames flow
  bool is_readable_only = false;          // set by the element
  bool is_required = false;               // there is no useful default
  std::vector<std::string> choice_names;  // of an enum, in order of its numbers
  std::vector<int> choice_values;         // numbers of the names where they do not count from 0; else empty
  std::function<void(void* params, const ParamValue&)> store;
  std::function<ParamValue(const void* params)> load;

  ParamDesc&& range(double least, double most) &&;
  ParamDesc&& in(std::string_view unit_name) &&;
  ParamDesc&& live() &&;
  ParamDesc&& required() &&;
  ParamDesc&& choices(std::vector<std::string> names, std::vector<int> values = {}) &&;

  // The value as this parameter stores it, or why it may not: type, range, unknown choice. Whole numbers,
  // names of choices and text in general are converted, so that callers need not know the type.
  Result<ParamValue> check(const ParamValue& value) const;
  // Reads text as a user types it: "0.5", "true", "max", "<1,2>", "30/1".
  Result<ParamValue> parse(std::string_view text) const;
  // The reverse of parse(): like to_string(), but the name of a choice instead of its number.
  std::string to_text(const ParamValue& value) const;
  // The number of the choice at this place of `choice_names`.
  int choice_value(size_t index) const { return choice_values.empty() ? int(index) : choice_values[index]; }

 private:
  std::unexpected<Error> unknown_choice(std::string_view value) const;
  Status check_range(double value, const ParamValue& shown) const;
};

namespace detail {
template <class T>
constexpr ParamType param_type() {
  if constexpr (std::is_same_v<T, bool>)
    return ParamType::boolean;
  else if constexpr (std::is_enum_v<T>)
    return ParamType::choice;
  else if constexpr (std::is_same_v<T, int>)
    return ParamType::integer;
  else if constexpr (std::is_same_v<T, unsigned>)
    return ParamType::unsigned_integer;
  else if constexpr (std::is_same_v<T, int64_t>)
    return ParamType::integer64;
  else if constexpr (std::is_same_v<T, float>)
    return ParamType::number32;
  else if constexpr (std::is_same_v<T, double>)
    return ParamType::number;
  else if constexpr (std::is_same_v<T, std::string>)
    return ParamType::text;
  else if constexpr (std::is_same_v<T, std::vector<int64_t>>)
    return ParamType::integers;
  else if constexpr (std::is_same_v<T, std::vector<double>>)
    return ParamType::numbers;
  else if constexpr (std::is_same_v<T, std::vector<std::string>>)
    return ParamType::texts;
  else if constexpr (std::is_same_v<T, Fraction>)
    return ParamType::fraction;
  else
    static_assert(sizeof(T) == 0, "not a type that a parameter can have");
}
template <class T>
ParamValue to_value(const T& value) {
  if constexpr (std::is_same_v<T, bool>)
    return value;
  else if constexpr (std::is_enum_v<T> || std::is_integral_v<T>)
    return int64_t(value);
  else if constexpr (std::is_floating_point_v<T>)
    return double(value);
  else
    return value;
}
template <class T>
void from_value(T& target, const ParamValue& value) {
  if constexpr (std::is_same_v<T, bool>)
    target = std::get<bool>(value);
  else if constexpr (std::is_enum_v<T> || std::is_integral_v<T>)
    target = T(std::get<int64_t>(value));
  else if constexpr (std::is_floating_point_v<T>)
    target = T(std::get<double>(value));
  else
    target = std::get<T>(value);
}
}  // namespace detail

template <class P, class T>
ParamDesc param(std::string_view name, T P::* member, std::string_view doc) {
  ParamDesc desc;
  desc.name = name;
  desc.doc = doc;
  desc.type = detail::param_type<T>();
  desc.default_value = detail::to_value(P{}.*member);
  if (desc.type == ParamType::unsigned_integer) desc.min = 0, desc.max = std::numeric_limits<unsigned>::max();
  if (desc.type == ParamType::integer)
    desc.min = std::numeric_limits<int>::min(), desc.max = std::numeric_limits<int>::max();
  desc.store = [member](void* params, const ParamValue& value) {
    detail::from_value(static_cast<P*>(params)->*member, value);
  };
  desc.load = [member](const void* params) {
    return detail::to_value(static_cast<const P*>(params)->*member);
  };
  return desc;
}

// The parameters of one kind of element, in the order in which they are shown.
struct ParamTable {
  std::vector<ParamDesc> params;
  std::shared_ptr<void> (*clone)(const void* params) = nullptr;  // null params: the defaults

  template <class P>
  static ParamTable of(std::vector<ParamDesc> params) {
    return {std::move(params), [](const void* from) -> std::shared_ptr<void> {
              return from ? std::make_shared<P>(*static_cast<const P*>(from)) : std::make_shared<P>();
            }};
  }
  const ParamDesc* find(std::string_view name) const;  // '_' and '-' alike
};

// The values for one element instance. A value type; not thread-safe.
class ParamSet {
 public:
  explicit ParamSet(const ParamTable& table);  // defaults; the table must outlive the set
  ParamSet(const ParamSet& other);
  ParamSet& operator=(const ParamSet& other);

  Status set(std::string_view name, const ParamValue& value);
  Status set_text(std::string_view name, std::string_view text);
  Result<ParamValue> get(std::string_view name) const;
  bool is_set(std::string_view name) const;  // by set(), as opposed to the default
  const ParamTable& table() const { return *table_; }

  template <class P>
  const P& as() const {
    return *static_cast<const P*>(values_.get());
  }

 private:
  Result<const ParamDesc*> known(std::string_view name) const;
  Status store(const ParamDesc& desc, Result<ParamValue> value);

  const ParamTable* table_;
  std::shared_ptr<void> values_;
  std::vector<bool> set_;
};

}  // namespace sightglass
