// One call of a decoder in Python by the element tensor_postproc_user: tensors there, results back.
#include "sightglass/elements/tensor_postproc_user/python_call.h"

#include <nanobind/stl/string.h>

#include "python/src/bindings.h"

namespace sightglass::python {
namespace {

nb::dict tensors_of(const DecoderInput& input) {
  nb::dict tensors;
  for (size_t i = 0; i < input.tensors.size(); ++i) {
    const std::string name = input.names[i].empty() ? "output" + std::to_string(i) : input.names[i];
    tensors[name.c_str()] = nb::cast(input.tensors[i]);
  }
  return tensors;
}

void take(nb::handle item, DecoderResults& results) {
  if (nb::isinstance<Region>(item)) {
    DecodedObject& added = results.objects.emplace_back();
    added.region = nb::cast<Region>(item);
    if (added.region.attributes) added.attributes = added.region.attributes->items();
    added.region.attributes = nullptr;
    added.label = added.region.label.view();
  } else if (nb::isinstance<Attribute>(item)) {
    results.attributes.push_back(nb::cast<Attribute>(item));
  } else {
    throw nb::type_error(("decode() gives Regions and Attributes, not " +
                          nb::cast<std::string>(nb::handle(item.type()).attr("__name__")))
                             .c_str());
  }
}

void decode(nb::handle decoder, nb::capsule capsule) {
  auto* call = static_cast<PythonCall*>(PyCapsule_GetPointer(capsule.ptr(), PythonCall::capsule));
  if (!call) throw nb::python_error();
  nb::object given = decoder.attr("decode")(tensors_of(*call->input));
  if (given.is_none()) return;
  if (nb::isinstance<Region>(given) || nb::isinstance<Attribute>(given)) return take(given, *call->results);
  for (nb::handle item : given) take(item, *call->results);
}

}  // namespace

void bind_decoder(nb::module_& module) {
  module.def("_decode", &decode, nb::arg("decoder"), nb::arg("call"),
             nb::sig("def _decode(decoder: typing.Any, call: typing.Any) -> None"));
}

}  // namespace sightglass::python
