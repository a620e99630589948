// Splits a frame into one frame per detected object, each with a crop rectangle instead of copied pixels.
//
// in   video frame with regions (any memory)
// out  one frame per region, in the order of the regions: same memory, `crop` the pixels that the box
// touches,
//      `source` says which region, `regions` is that one, so that its exact box is known downstream; without
//      the attributes of the whole frame. `functions` change the box that is looked at; results still go to
//      the region as it is
//
// A region that covers no pixel, or that a function passes over, becomes a gap with its `source`; a frame
// without any region that passes, a gap of the whole frame, so that joins downstream never wait. The last of
// a frame is marked.
//
// One stream, one thread. Costs nothing per pixel.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/functions/function.h"
#include "sightglass/elements/selection/selection.h"

namespace sightglass {

class RoiSplit final : public Transform {
 public:
  struct Params {
    std::string object_class;  // comma list; empty: every object
    unsigned min_size = 0;     // pixels, of the shorter side
    unsigned max_regions = 0;  // 0: all; else those of the highest confidence
    std::string source;        // model whose objects count; empty: every model
    std::string select;        // selector of the objects, beside the above; empty: all
    std::string functions;     // of the hook region, as JSON; empty: none
  };

  explicit RoiSplit(const Params& params);

  void update(const ParamSet& params) override;
  std::vector<std::string> take_warnings() override { return std::exchange(warnings_, {}); }
  std::vector<FormatSpec> transform_format(Direction, const FormatSpec& spec) const override {
    return {spec};
  }
  Status configure(const Format& input, const Format& output) override;
  Status process(const Frame& frame, Output& output) override;
  void flush() override { select_.reset(); }

 private:
  struct Selected {
    size_t region;  // place in Frame::regions
    Crop crop;
    Box box;  // that is looked at
    float confidence;
  };

  Status set(const Params& params);
  Status select(const Frame& frame);
  void limit();  // to max_regions
  Result<std::optional<Box>> viewed(const Frame& frame, size_t index);
  SourceId source_of(const Frame& frame) const;

  std::vector<Label> classes_;
  Label model_;
  unsigned min_size_ = 0, max_regions_ = 0;
  Selection select_{"select"};
  std::string functions_text_;
  std::vector<NamedFunction> functions_;
  std::vector<std::string> warnings_;
  std::vector<Selected> selected_;
  Frame part_;  // what is sent; its vectors keep their memory
};

}  // namespace sightglass
