// The compiled part of the package: sightglass._core.
#include "python/src/bindings.h"

NB_MODULE(_core, module) {
  using namespace sightglass::python;
  // What a program still holds at its end is not worth a page of warnings.
  nanobind::set_leak_warnings(false);
  module.doc() = "Frames, tensors, elements and flows; use it through the package `sightglass`.";
  bind_tensor(module);
  bind_region(module);
  bind_format(module);
  bind_frame(module);
  bind_mapping(module);
  bind_element(module);
  bind_flow(module);
  bind_decoder(module);
  bind_function(module);
  bind_functions(module);
}
