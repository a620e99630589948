// Errors as exceptions and back, and objects that are let go of by any thread.
#include <nanobind/stl/string.h>

#include "python/src/bindings.h"

namespace sightglass::python {

void raise(const Error& error) {
  nb::object type = nb::module_::import_("sightglass._errors").attr("exception_of")(int(error.code));
  nb::object exception = type(error.to_string());
  exception.attr("element") = error.element;
  exception.attr("stream") = error.stream;
  PyErr_SetObject(type.ptr(), exception.ptr());
  throw nb::python_error();
}

Error to_error(nb::python_error& exception) {
  Error error;
  error.code = exception.matches(PyExc_KeyboardInterrupt) ? ErrorCode::cancelled : ErrorCode::internal;
  try {
    nb::object value = nb::borrow(exception.value());
    nb::object ours = nb::module_::import_("sightglass._errors").attr("Error");
    if (nb::isinstance(value, ours)) {  // raised by us further in: it keeps its code
      error.code = ErrorCode(nb::cast<int>(value.attr("code_number")));
      error.message = nb::cast<std::string>(nb::str(value));
    } else {
      const auto type = nb::cast<std::string>(exception.type().attr("__name__"));
      const auto text = nb::cast<std::string>(nb::str(value));
      error.message = text.empty() ? type : type + ": " + text;
    }
  } catch (const std::exception&) {  // its __str__ raises
    error.message = "a Python exception without a readable message";
  }
  return error;
}

bool interpreter_is_running() { return Py_IsInitialized() && !Py_IsFinalizing(); }

void release_object(nb::object& object) noexcept {
  if (!object.is_valid()) return;
  if (!interpreter_is_running()) {
    object.release();
    return;
  }
  nb::gil_scoped_acquire lock;
  object.reset();
}

}  // namespace sightglass::python
