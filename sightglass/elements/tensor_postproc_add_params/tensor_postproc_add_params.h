// Keeps a model's raw outputs as results: each becomes an attribute of kind tensor, with a tag that says what
// it is.
//
// in   tensors of any kind
// out  the attribute `attribute-name`, of several outputs one each, called `attribute-name/<output>`; its
// text
//      is `format`
//
// The tensors' memory is shared, not copied, and stays in use as long as the result does; only the own sample
// of a batch is kept. One stream, one thread.
#pragma once

#include <string>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/detection/model_outputs.h"

namespace sightglass {

class TensorPostprocAddParams final : public TransformInplace {
 public:
  struct Params {
    std::string attribute_name = "attribute";
    std::string format;
  };

  explicit TensorPostprocAddParams(const Params& params) : params_(params) {}

  Status configure(const Format& input, const Format& output) override;
  Result<Verdict> process(Frame& frame) override;

 private:
  Params params_;
  std::vector<Label> names_;  // one per output
  Label model_;
};

}  // namespace sightglass
