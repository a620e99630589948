// CPython in this process, for the module `python-decoders`: its lock, its references, its start. Where no
// interpreter runs one is started and never ended: its threads may be in the middle of a call. The package
// `sightglass` is looked for where Python looks, then beside this library.
#pragma once

#include <Python.h>

#include <string>

#include "sightglass/core/result.h"

namespace sightglass::python_interpreter {

class InterpreterLock {
 public:
  InterpreterLock() : state_(PyGILState_Ensure()) {}
  ~InterpreterLock() { PyGILState_Release(state_); }
  InterpreterLock(const InterpreterLock&) = delete;

 private:
  PyGILState_STATE state_;
};

// One reference; the lock is held wherever one is made or goes.
struct Object {
  PyObject* held = nullptr;
  explicit Object(PyObject* reference) : held(reference) {}
  Object(const Object&) = delete;
  ~Object() { Py_XDECREF(held); }
  explicit operator bool() const { return held != nullptr; }
};

// The exception that is set, as "ValueError: no such class", and takes it off.
std::string take_exception();

// Once; later calls give the same answer.
Status start_interpreter();

}  // namespace sightglass::python_interpreter
