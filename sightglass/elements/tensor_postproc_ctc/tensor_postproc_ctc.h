// Reads the output of a text recogniser that was trained with connectionist temporal classification: the best
// class of each step, repeats taken once, blanks left out.
//
// in   tensors, one of them [T,C], [N,T,C] or [T,1,C]: a score per step and class
// out  the attribute `attribute-name` (or the output's name, or "text") of kind text, its confidence the mean
//      of its characters'; none when there is no character, or the confidence is below the threshold
//
// The characters come from a file with one on each line, or from `labels`. A list of C is by class, the blank
// among them. One of C-1 leaves the blank out. One of C-2 leaves out the space as well, which is the last
// class then (space-last). Scores of a step that are not a distribution are taken as logits. Steps whose
// scores are not finite count as blank.
//
// One stream, one thread; allocates nothing but the result. Cost: one pass over the scores.
#pragma once

#include <string>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/detection/labels.h"
#include "sightglass/elements/detection/model_outputs.h"

namespace sightglass {

class TensorPostprocCtc final : public TransformInplace {
 public:
  struct Params {
    std::vector<std::string> labels;
    std::string labels_file;
    std::string charset_file;
    int blank_index = 0;
    bool space_last = true;
    double threshold = 0;
    std::string attribute_name;
    std::string layer_name;
  };

  explicit TensorPostprocCtc(const Params& params) : params_(params) {}

  Status start() override;
  void update(const ParamSet& params) override { params_.threshold = params.as<Params>().threshold; }
  Status configure(const Format& input, const Format& output) override;
  Result<Verdict> process(Frame& frame) override;

 private:
  Params params_;
  LabelList listed_;               // as in the file
  std::vector<Label> characters_;  // by class; empty for the blank
  Label name_, model_;
  size_t tensor_ = 0;
  std::vector<float> scratch_;
};

}  // namespace sightglass
