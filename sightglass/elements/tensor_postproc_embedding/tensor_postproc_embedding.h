// Turns the output of an embedding model into a feature vector of the frame, or, where the frame is a region,
// of that object: what trackers and galleries compare.
//
// in   tensors, one of them with the features
// out  the attribute `attribute-name` of kind vector; none when a value is not finite, or all are 0 and a
//      length of 1 is asked for
//
// One stream, one thread; allocates nothing but the result.
#pragma once

#include <string>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/detection/model_outputs.h"

namespace sightglass {

class TensorPostprocEmbedding final : public TransformInplace {
 public:
  enum class Normalize { l2, none };

  struct Params {
    std::string attribute_name = "spatial-feature";
    std::string layer_name;
    Normalize normalize = Normalize::l2;
  };

  explicit TensorPostprocEmbedding(const Params& params) : params_(params) {}

  Status configure(const Format& input, const Format& output) override;
  Result<Verdict> process(Frame& frame) override;

 private:
  Params params_;
  Label name_, model_;
  size_t tensor_ = 0;
  std::vector<float> scratch_;
};

}  // namespace sightglass
