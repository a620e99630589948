// Decoders written in Python. Where no interpreter runs in this process one is started and never ended: its
// threads may be in the middle of a decoder. The package `sightglass` does the rest: it is looked for where
// Python looks, then beside this library.
#include <Python.h>

#include <filesystem>
#include <memory>
#include <mutex>
#include <thread>

#include "sightglass/elements/tensor_postproc_user/python_call.h"
#include "sightglass/memory/module.h"

namespace sightglass {
namespace {

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
    const auto here = library_folder();
    for (const char* beside : {"../python", "python3/dist-packages", "../lib/python3/dist-packages", "../.."})
      if (std::error_code ignored;
          std::filesystem::exists(here / beside / "sightglass" / "__init__.py", ignored))
        add_path(std::filesystem::weakly_canonical(here / beside, ignored).string(), false);
    PyEval_SaveThread();
  });
  return status;
}

class PythonDecoder final : public UserDecoder {
 public:
  // Steals both references.
  PythonDecoder(PyObject* decoder, PyObject* decode) : decoder_(decoder), decode_(decode) {}
  ~PythonDecoder() override {
    if (!Py_IsInitialized() || Py_IsFinalizing()) return;
    const InterpreterLock lock;
    Py_DECREF(decoder_);
    Py_DECREF(decode_);
  }

  Status decode(const DecoderInput& input, DecoderResults& results) override {
    if (Py_IsFinalizing()) return fail(ErrorCode::cancelled, "Python has ended");
    PythonCall call{&input, &results, {}};
    const InterpreterLock lock;
    *thread_ = PyThread_get_thread_ident();
    const Object capsule(PyCapsule_New(&call, PythonCall::capsule, nullptr));
    const Object done(capsule ? PyObject_CallFunctionObjArgs(decode_, decoder_, capsule.held, nullptr)
                              : nullptr);
    *thread_ = 0;
    // The capsule may have been kept: what it points to goes now.
    if (capsule) PyCapsule_SetName(capsule.held, "sightglass.decode, over");
    if (!done) return fail(ErrorCode::internal, "{}", take_exception());
    return std::move(call.status);
  }

  // Raises TimeoutError in the Python code. By a thread that nobody waits for: code that does not give the
  // lock away holds that one up only.
  void interrupt() override {
    std::thread([thread = thread_] {
      if (Py_IsFinalizing()) return;
      const InterpreterLock lock;
      // Whether it is still at it cannot change while the interpreter is locked.
      if (*thread != 0) PyThreadState_SetAsyncExc(*thread, PyExc_TimeoutError);
    }).detach();
  }

 private:
  PyObject *decoder_, *decode_;
  // The thread that decodes, 0: none; by those that hold the interpreter's lock.
  const std::shared_ptr<unsigned long> thread_ = std::make_shared<unsigned long>(0);
};

Result<std::unique_ptr<UserDecoder>> open(const DecoderSettings& settings) {
  if (auto started = start_interpreter(); !started) return forward_error(started);
  const InterpreterLock lock;
  const auto failed = [&] {
    return fail(ErrorCode::invalid_argument, "decoder={}: {}", settings.decoder, take_exception());
  };
  const Object package(PyImport_ImportModule("sightglass._decoder"));
  if (!package)
    return fail(ErrorCode::unavailable,
                "decoder={}: the Python package sightglass cannot be imported ({}); name its folder in "
                "PYTHONPATH",
                settings.decoder, take_exception());
  const Object labels(PyList_New(0));
  if (!labels) return failed();
  for (const std::string& label : settings.labels) {
    const Object text(PyUnicode_DecodeUTF8(label.data(), Py_ssize_t(label.size()), "replace"));
    if (!text || PyList_Append(labels.held, text.held) < 0) return failed();
  }
  PyObject* decoder = PyObject_CallMethod(package.held, "open_decoder", "sOs", settings.decoder.c_str(),
                                          labels.held, settings.config.c_str());
  if (!decoder) return failed();
  PyObject* decode = PyObject_GetAttrString(package.held, "decode");
  if (!decode) {
    Py_DECREF(decoder);
    return failed();
  }
  return std::make_unique<PythonDecoder>(decoder, decode);
}

const PythonDecoders registration(&open);

}  // namespace
}  // namespace sightglass
