// Decoders that users bring along: a shared object (sightglass/decoder.h) or a class in Python. Both look the
// same to the element.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sightglass/core/format.h"
#include "sightglass/core/frame.h"
#include "sightglass/memory/mapping.h"

namespace sightglass {

struct DecoderSettings {
  std::string decoder;  // "file.so", "module:Class" or "file.py:Class"
  std::vector<std::string> labels;
  std::string config;  // KEY=VALUE,…
};

// One frame: the outputs of the model for one sample, dense and finished.
struct DecoderInput {
  std::vector<Tensor> tensors;
  std::vector<Mapping> mappings;  // of the tensors, so that nobody waits for them later
  std::vector<std::string> names;
  std::string model;  // whose outputs they are
  float threshold = 0;
};

// As the decoder gave them: not checked. Labels as text, in place of label ids where they are given.
struct DecodedObject {
  Region region;
  std::string label;
  std::vector<Attribute> attributes;
};
struct DecoderResults {
  std::vector<DecodedObject> objects;
  std::vector<Attribute> attributes;  // of the whole input
};

// Used by one thread at a time, not always the same.
class UserDecoder {
 public:
  virtual ~UserDecoder() = default;
  // The error is what the user is told; exceptions have been caught.
  virtual Status decode(const DecoderInput& input, DecoderResults& results) = 0;
  // From another thread: try to end a decode() that takes too long.
  virtual void interrupt() {}
};

Result<std::unique_ptr<UserDecoder>> open_user_decoder(const DecoderSettings& settings);

Result<std::unique_ptr<UserDecoder>> open_shared_object(const DecoderSettings& settings);

// How the module `python-decoders` says that it is there.
using OpenDecoder = Result<std::unique_ptr<UserDecoder>> (*)(const DecoderSettings& settings);
struct PythonDecoders {
  explicit PythonDecoders(OpenDecoder open);
};

}  // namespace sightglass
