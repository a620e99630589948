#include "sightglass/elements/tensor_postproc_user/python_interpreter.h"

#include <mutex>

#include "sightglass/function/user_code.h"

namespace sightglass::python_interpreter {
namespace {

// Appended to the places where modules are looked for; `first`: put in front.
void add_path(const std::string& folder, bool first) {
  PyObject* path = PySys_GetObject("path");  // borrowed
  const Object text(PyUnicode_DecodeFSDefault(folder.c_str()));
  if (!path || !text || PySequence_Contains(path, text.held) == 1) return PyErr_Clear();
  if (first)
    PyList_Insert(path, 0, text.held);
  else
    PyList_Append(path, text.held);
  PyErr_Clear();
}

}  // namespace

std::string take_exception() {
  const Object exception(PyErr_GetRaisedException());
  if (!exception) return "an unknown error";
  std::string text = Py_TYPE(exception.held)->tp_name;
  const Object shown(PyObject_Str(exception.held));
  const char* message = shown ? PyUnicode_AsUTF8(shown.held) : nullptr;
  if (message && *message) text.append(": ").append(message);
  PyErr_Clear();
  return text;
}

Status start_interpreter() {
  static std::once_flag once;
  static Status status;
  std::call_once(once, [] {
    if (Py_IsInitialized()) return;
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.install_signal_handlers = 0;
    config.parse_argv = 0;
    const PyStatus started = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(started)) {
      status = fail(ErrorCode::unavailable, "Python does not start: {}",
                    started.err_msg ? started.err_msg : "no reason is given");
      return;
    }
    add_path("", true);  // modules in the working folder, as with `python -c`
    if (const std::string folder = function::python_package_folder(); !folder.empty())
      add_path(folder, false);
    PyEval_SaveThread();
  });
  return status;
}

}  // namespace sightglass::python_interpreter
