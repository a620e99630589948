// Turns the numbers of a model's outputs into text and a number, such as an age.
//
// in   tensors of any numeric type
// out  the attribute `attribute-name`, or the output's name, or "text": one value makes an attribute of kind
//      number with its text; several make one of kind text, joined by ", ", with the numbers in `values`
//
// Each value is multiplied by text-scale and written with text-precision decimals. With `reduce` an output's
// values are bins first: argmax gives the value of the largest, expectation their mean weighted by the
// values; bin i stands for value-offset + i·value-step. Values that are not finite are left out. One stream,
// one thread; allocates nothing but the result.
#pragma once

#include <string>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/detection/model_outputs.h"

namespace sightglass {

class TensorPostprocText final : public TransformInplace {
 public:
  enum class Reduce { none, argmax, expectation };

  struct Params {
    double text_scale = 1;
    int text_precision = 0;
    std::string attribute_name;
    std::string layer_name;
    Reduce reduce = Reduce::none;
    double value_offset = 0, value_step = 1;
  };

  explicit TensorPostprocText(const Params& params) : params_(params) {}

  Status configure(const Format& input, const Format& output) override;
  Result<Verdict> process(Frame& frame) override;

 private:
  void reduce(std::span<const double> bins, float& confidence);

  Params params_;
  Label name_, model_;
  size_t first_ = 0, count_ = 1;  // the outputs that are read
  std::vector<double> scratch_, numbers_;
};

}  // namespace sightglass
