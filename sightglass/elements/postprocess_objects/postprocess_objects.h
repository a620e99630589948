// Runs delivered functions (functions/function.h: nms, top_k, filter_size, smooth_attribute, …) on the
// objects that an element has just written: behind a detector, a classifier or a tracker.
//
//   … ! object_detect model=… ! postprocess_objects functions='[{"top_k": {"k": 10}}, "nms"]' ! …
//
// in, out  frames of any kind, in place. Only objects and attributes of the model `namespace` are looked at;
//          empty: all. What was found in an object that is dropped goes with it.
//
// The functions run in their order. They may change while frames flow; what does not hold is refused with a
// warning. One stream, one thread.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/functions/function.h"

namespace sightglass {

class PostprocessObjects final : public TransformInplace {
 public:
  struct Params {
    std::string functions;  // JSON
    std::string model;      // the property `namespace`
  };

  explicit PostprocessObjects(const Params& params);

  void update(const ParamSet& params) override;
  std::vector<std::string> take_warnings() override { return std::exchange(warnings_, {}); }
  Result<Verdict> process(Frame& frame) override;
  void flush() override;

 private:
  Status set(const Params& params);

  std::string text_;
  Label model_;
  std::vector<NamedFunction> functions_;
  std::vector<std::string> warnings_;
};

}  // namespace sightglass
