// Parameters: Python values in and out, and descriptors as dictionaries, from which the package makes its
// classes.
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include "python/src/bindings.h"

namespace sightglass::python {
namespace {

template <class T>
std::vector<T> list_of(nb::handle value) {
  std::vector<T> list;
  for (nb::handle item : nb::borrow<nb::sequence>(value)) list.push_back(nb::cast<T>(item));
  return list;
}

template <class T>
bool all_are(nb::handle sequence) {
  for (nb::handle item : nb::borrow<nb::sequence>(sequence))
    if (!nb::isinstance<T>(item)) return false;
  return true;
}

}  // namespace

ParamValue to_param_value(nb::handle value) {
  if (nb::isinstance<nb::bool_>(value)) return nb::cast<bool>(value);
  if (nb::isinstance<nb::str>(value)) return nb::cast<std::string>(value);
  if (nb::isinstance<nb::int_>(value)) {
    int64_t number;
    if (!nb::try_cast(value, number)) throw nb::value_error("the number is too large");
    return number;
  }
  if (nb::isinstance<nb::float_>(value)) return nb::cast<double>(value);
  if (PyIndex_Check(value.ptr()))
    return to_param_value(nb::steal(PyNumber_Index(value.ptr())));  // numpy's integers
  if (nb::hasattr(value, "__fspath__")) return nb::cast<std::string>(value.attr("__fspath__")());
  if (nb::hasattr(value, "numerator") && nb::hasattr(value, "denominator"))  // fractions.Fraction
    return Fraction{nb::cast<int>(nb::int_(value.attr("numerator"))),
                    nb::cast<int>(nb::int_(value.attr("denominator")))};
  if (nb::isinstance<nb::list>(value) || nb::isinstance<nb::tuple>(value)) {
    if (nb::len(value) == 0) return std::vector<int64_t>();
    if (all_are<nb::int_>(value)) return list_of<int64_t>(value);
    if (all_are<nb::str>(value)) return list_of<std::string>(value);
    try {
      return list_of<double>(value);
    } catch (const nb::cast_error&) {
      throw nb::value_error("a list holds numbers only, or texts only");
    }
  }
  if (double number; nb::try_cast(value, number)) return number;  // numpy's numbers
  throw nb::value_error(("no parameter can be " + nb::cast<std::string>(nb::repr(value))).c_str());
}

nb::object from_param_value(const ParamDesc& desc, const ParamValue& value) {
  if (desc.type == ParamType::choice)
    if (const auto* number = std::get_if<int64_t>(&value))
      for (size_t i = 0; i < desc.choice_names.size(); ++i)
        if (desc.choice_value(i) == *number) return nb::cast(desc.choice_names[i]);
  if (const auto* fraction = std::get_if<Fraction>(&value))
    return nb::make_tuple(fraction->num, fraction->den);
  return std::visit(
      [](const auto& one) -> nb::object {
        if constexpr (std::is_same_v<std::decay_t<decltype(one)>, Fraction>)
          return nb::none();
        else
          return nb::cast(one);
      },
      value);
}

}  // namespace sightglass::python
