// Python functions in this process, part of the module `python-decoders`. Calls wait for the interpreter's
// lock, as all that runs in it does; nothing can end a call that does not return.
#include <memory>

#include "sightglass/elements/tensor_postproc_user/python_interpreter.h"
#include "sightglass/function/inline_call.h"

namespace sightglass::function {
namespace {

using namespace python_interpreter;

// A reference that is let go of by any thread, also when the interpreter is about to end.
class Held {
 public:
  explicit Held(PyObject* reference) : held_(reference) {}
  Held(const Held&) = delete;
  ~Held() {
    if (!held_ || !Py_IsInitialized() || Py_IsFinalizing()) return;
    const InterpreterLock lock;
    Py_DECREF(held_);
  }
  PyObject* get() const { return held_; }

 private:
  PyObject* const held_;
};

class PythonCode final : public UserCode, public std::enable_shared_from_this<PythonCode> {
 public:
  // Steals the references.
  PythonCode(PyObject* code, PyObject* make, PyObject* call, PyObject* dispatch, std::string description)
      : code_(code), make_(make), call_(call), dispatch_(dispatch), description_(" " + description + " ") {}

  bool has(Hook hook) const override { return says(to_string(hook)); }
  bool wants_pixels() const override { return says("pixels"); }
  bool writes_pixels() const override { return says("writes_pixels"); }
  Result<std::unique_ptr<UserObject>> create(std::string_view) override;

  Outcome run(PyObject* target, Call& call) const {
    if (Py_IsFinalizing()) return {Fault::unavailable, "Python has ended"};
    InlineCall given{&call, {}};
    const InterpreterLock lock;
    const Object capsule(PyCapsule_New(&given, InlineCall::capsule, nullptr));
    const Object done(
        capsule ? PyObject_CallFunctionObjArgs(call_.get(), dispatch_.get(), target, capsule.held, nullptr)
                : nullptr);
    // The capsule may have been kept: what it points to goes now.
    if (capsule) PyCapsule_SetName(capsule.held, "sightglass.function, over");
    if (!done) return {Fault::error, take_exception()};
    return std::move(given.outcome);
  }

 private:
  bool says(std::string_view word) const { return description_.contains(std::format(" {} ", word)); }

  const Held code_, make_, call_, dispatch_;
  const std::string description_;
};

class PythonObject final : public UserObject {
 public:
  PythonObject(std::shared_ptr<const PythonCode> code, PyObject* target)
      : code_(std::move(code)), target_(target) {}
  Outcome call(Call& call) override { return code_->run(target_.get(), call); }

 private:
  const std::shared_ptr<const PythonCode> code_;
  const Held target_;
};

Result<std::unique_ptr<UserObject>> PythonCode::create(std::string_view) {
  if (Py_IsFinalizing()) return fail(ErrorCode::cancelled, "Python has ended");
  const InterpreterLock lock;
  PyObject* target = PyObject_CallFunctionObjArgs(make_.get(), code_.get(), nullptr);
  if (!target) return fail(ErrorCode::internal, "{}", take_exception());
  return std::make_unique<PythonObject>(shared_from_this(), target);
}

Result<std::shared_ptr<UserCode>> open(const CodeOptions& options) {
  if (auto started = start_interpreter(); !started) return forward_error(started);
  const InterpreterLock lock;
  const Object package(PyImport_ImportModule("sightglass._function"));
  const Object core(package ? PyImport_ImportModule("sightglass._core") : nullptr);
  if (!core)
    return fail(ErrorCode::unavailable,
                "{}: the Python package sightglass cannot be imported ({}); name its folder in PYTHONPATH",
                options.path, take_exception());
  PyObject* code = PyObject_CallMethod(package.held, "open_inline", "sss", options.path.c_str(),
                                       options.symbol.c_str(), options.args.c_str());
  if (!code) {
    std::string text = take_exception();
    constexpr std::string_view wrapper = "RuntimeError: ";
    if (text.starts_with(wrapper)) text.erase(0, wrapper.size());
    return fail(ErrorCode::invalid_argument, "{}: {}", options.path, text);
  }
  const Object described(PyObject_CallMethod(code, "describe", nullptr));
  const char* description = described ? PyUnicode_AsUTF8(described.held) : nullptr;
  PyErr_Clear();
  return std::make_shared<PythonCode>(
      code, PyObject_GetAttrString(package.held, "Target"), PyObject_GetAttrString(core.held, "_call_inline"),
      PyObject_GetAttrString(package.held, "dispatch"), description ? description : "");
}

const InlinePython registration(&open);

}  // namespace
}  // namespace sightglass::function
