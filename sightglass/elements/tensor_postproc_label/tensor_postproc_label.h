// Turns the output of a classifier into a result: an attribute of the frame, or, where the frame is a region,
// of that object.
//
// in   tensors, one of them with a score per class, or per question (compound), or class ids (index)
// out  the attribute `attribute-name`, or the output's name, or "classification"; none when nothing reaches
// the
//      threshold
//
//   max            the largest score
//   softmax        the same after softmax
//   compound       each score p decides between two labels in turn: the first when p ≥ compound-threshold,
//   with
//                  confidence p, else the second, with 1-p; the texts are joined, the lowest confidence
//                  counts
//   index          the values are class ids, up to the first that is none; the texts are joined
//   multi          every class that reaches the threshold
//   softmax-multi  the same after softmax
//   sigmoid        the largest score after sigmoid
//
// With top-k > 1 the methods max, softmax and sigmoid give the best so many. Several classes make an
// attribute of kind multi: texts joined by ", ", `values` holding id and score of each, best first, label id
// and confidence those of the best. Scores that are not finite count as absent.
//
// One stream, one thread; allocates nothing but the result.
#pragma once

#include <string>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/detection/labels.h"
#include "sightglass/elements/detection/model_outputs.h"

namespace sightglass {

class TensorPostprocLabel final : public TransformInplace {
 public:
  enum class Method { max, softmax, compound, index, multi, softmax_multi, sigmoid };

  struct Params {
    std::vector<std::string> labels;
    std::string labels_file;
    Method method = Method::max;
    std::string attribute_name;
    std::string layer_name;
    double threshold = 0;
    double compound_threshold = 0.5;
    unsigned top_k = 1;
    unsigned classes = 0;  // number of classes that have no names
  };

  explicit TensorPostprocLabel(const Params& params) : params_(params) {}

  Status start() override;
  void update(const ParamSet& params) override { params_.threshold = params.as<Params>().threshold; }
  Status configure(const Format& input, const Format& output) override;
  Result<Verdict> process(Frame& frame) override;

 private:
  struct Scored {
    int32_t id;
    float score;
  };

  // Each fills `attribute`; false: there is no result.
  bool best(std::span<const float> values, Attribute& attribute);
  bool multi(std::span<const float> values, Attribute& attribute);
  bool compound(std::span<const float> values, Attribute& attribute) const;
  bool index(std::span<const float> values, Attribute& attribute) const;
  // The activation that the method asks for, into activated_.
  std::span<const float> activate(std::span<const float> values);
  void list(Attribute& attribute);  // from ranked_

  Params params_;
  LabelList labels_;
  Label name_, model_;
  int tensor_ = 0;
  std::vector<float> scratch_, activated_;
  std::vector<Scored> ranked_;
};

}  // namespace sightglass
