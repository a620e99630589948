// What the sources of the compiled module share: how errors become exceptions, and the Python form of a
// frame.
//
// Locks: whatever can block or take long (mapping, elements, flows) runs without the interpreter's lock, and
// no lock of ours is taken while it is held.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"

namespace sightglass::python {

namespace nb = nanobind;

// Raises the exception of sightglass/_errors.py that stands for the error.
[[noreturn]] void raise(const Error& error);

template <class T>
T unwrap(Result<T> result) {
  if (!result) raise(result.error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

// The other way round: the exception that Python code has just raised.
Error to_error(nb::python_error& exception);

// Runs without the interpreter's lock.
template <class F>
auto unlocked(F work) {
  nb::gil_scoped_release release;
  return work();
}

// False once the interpreter shuts down: then nobody may take its lock any more, and what it owns is left to
// the end of the process.
bool interpreter_is_running();

// Frees a Python object from any thread.
void release_object(nb::object& object) noexcept;

// A Frame as Python holds it.
struct FrameObject {
  FrameObject() = default;
  explicit FrameObject(Frame content, std::shared_ptr<const TensorsInfo> info_ = nullptr)
      : frame(std::move(content)), info(std::move(info_)) {}

  // The frame with what Python has made of its regions.
  Frame& native();
  nb::list region_list();

  Frame frame;
  nb::object regions;                       // a list of Region once asked for; from then on it is what counts
  std::shared_ptr<const TensorsInfo> info;  // names of the tensors and of their model, where they are known
};

Format format_of(const FrameObject& frame);

// A view of a tensor's memory as a numpy array that keeps the mapping open. `type`, `shape` and `strides`
// (bytes) may differ from those of the tensor as long as they stay within it.
nb::object numpy_view(const Tensor& tensor, DataType type, const Shape& shape, const Shape& strides,
                      bool writable);
nb::object numpy_view(const Tensor& tensor, bool writable);
// The memory of an array, shared. `what`: for messages, "Frame.from_numpy".
Tensor tensor_of_array(nb::handle array, const char* what);

// Attributes from a Python sequence, or none.
AttributesRef attributes_from(nb::handle sequence);
nb::tuple attributes_to(const AttributesRef& attributes);

ParamValue to_param_value(nb::handle value);
nb::object from_param_value(const ParamDesc& desc, const ParamValue& value);
// A duration or a point in time: None where there is none.
nb::object time_to(Time time);
Time time_from(nb::handle time);

// An element written in Python, with what its class says of itself.
struct UserElement {
  std::unique_ptr<Element> element;
  ElementDesc desc;
};
UserElement make_user_element(nb::object element);
// Format descriptions of a Python class: "BGR", "tensors", a Format, or a list of these.
std::vector<FormatSpec> specs_from(nb::handle formats);

void bind_tensor(nb::module_& module);
void bind_region(nb::module_& module);
void bind_format(nb::module_& module);
void bind_frame(nb::module_& module);
void bind_mapping(nb::module_& module);
void bind_decoder(nb::module_& module);
void bind_element(nb::module_& module);
void bind_flow(nb::module_& module);
void bind_function(nb::module_& module);
void bind_functions(nb::module_& module);

}  // namespace sightglass::python
