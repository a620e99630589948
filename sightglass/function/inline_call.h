// What the module `python-decoders`, which knows CPython only, hands to the Python package, which knows our
// types: one call of a function in this process, in a PyCapsule of this name.
#pragma once

#include "sightglass/function/user_code.h"

namespace sightglass::function {

struct InlineCall {
  static constexpr const char* capsule = "sightglass.function";
  Call* call;
  Outcome outcome;
};

}  // namespace sightglass::function
