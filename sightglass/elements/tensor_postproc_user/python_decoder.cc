// Decoders written in Python; the package `sightglass` does the rest.
#include "sightglass/elements/tensor_postproc_user/python_interpreter.h"

#include <memory>
#include <thread>

#include "sightglass/elements/tensor_postproc_user/python_call.h"

namespace sightglass {
namespace {

using namespace python_interpreter;

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
