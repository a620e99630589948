// Results by a decoder that the user brings along: a shared object with one C function (sightglass/decoder.h)
// or a class in Python (`sightglass.Decoder` says what it looks like).
//
// in   the outputs of a model; the own sample of a batch
// out  the same, with the decoder's objects and attributes in 0..1 of the model's input
//
// What goes wrong: a decoder that fails or throws ends the stream with an error that names it. One that takes
// longer than the time-budget is given up for good: that frame and all later ones go on without results, with
// one warning, until the element is started anew. Results with numbers that are not finite, and boxes without
// an area, are dropped, with one warning. One stream, one thread; the decoder has a thread of its own unless
// time-budget is 0.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/detection/labels.h"
#include "sightglass/elements/tensor_postproc_user/watched_decoder.h"

namespace sightglass {

class TensorPostprocUser final : public TransformInplace {
 public:
  struct Params {
    std::string decoder;
    std::vector<std::string> labels;
    std::string labels_file;
    double threshold = 0;
    std::string config;
    unsigned time_budget = 1000;
  };

  explicit TensorPostprocUser(const Params& params) : params_(params) {}

  Status start() override;
  void stop() override { decoder_.reset(); }
  std::vector<std::string> take_warnings() override { return std::exchange(warnings_, {}); }
  void update(const ParamSet& params) override { params_.threshold = params.as<Params>().threshold; }
  Status configure(const Format& input, const Format& output) override;
  Result<Verdict> process(Frame& frame) override;

 private:
  Result<DecoderInput> input_of(const Frame& frame) const;
  void take(DecoderResults& results, Frame& frame);
  void add_labels(Attribute& attribute);
  Label label_of(const std::string& text);
  enum Warning { not_finite, too_slow, too_many_labels, too_many_objects, warning_count };
  void warn_once(Warning warning, std::string text);

  Params params_;
  LabelList labels_;
  Label model_;
  std::vector<std::string> names_;  // of the outputs
  std::unique_ptr<WatchedDecoder> decoder_;
  bool is_given_up_ = false;
  std::map<std::string, Label, std::less<>> texts_;
  std::vector<std::string> warnings_;
  bool warned_[warning_count] = {};
};

}  // namespace sightglass
