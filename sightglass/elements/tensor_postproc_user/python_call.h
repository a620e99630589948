// What the module `python-decoders`, which knows CPython only, hands to the Python package, which knows our
// types: one call of a decoder, in a PyCapsule of this name.
#pragma once

#include "sightglass/elements/tensor_postproc_user/user_decoder.h"

namespace sightglass {

struct PythonCall {
  static constexpr const char* capsule = "sightglass.decode";
  const DecoderInput* input;
  DecoderResults* results;
  Status status;
};

}  // namespace sightglass
