// Repeats the last result where a frame or region was skipped, so that every frame has results although only
// some are looked at.
//
// in   tensor frames with results, and gaps
// out  the frames as they are; for gaps the last result of that tracked object, or of a whole frame, as a
// frame
//      without tensors that has the gap's time and `source`
//
// Gaps without a result, or with one older than `max-age` frames, stay gaps; a result without anything in it
// is remembered as none. Repeated attributes carry their age in frames. An object that was not seen for a
// while is forgotten. Raw tensors among the results are copied once, since they may lie in the engine's
// memory, for which it waits.
//
// One stream, one thread.
#pragma once

#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/object_cache/object_cache.h"

namespace sightglass {

class MetaSmooth final : public Transform {
 public:
  struct Params {
    unsigned max_age = 300;   // frames; 0: no limit
    bool expose_age = false;  // repeated results get a number attribute with their age, for readers that see
                              // no more than attributes
  };
  static constexpr const char* age_attribute = "result-age";

  explicit MetaSmooth(const Params& params);

  std::vector<FormatSpec> transform_format(Direction, const FormatSpec& spec) const override {
    return {spec};
  }
  Status process(const Frame& frame, Output& output) override;
  Status gap(const Gap& gap, Output& output) override;
  void flush() override;

  size_t remembered_objects() const { return objects_.size(); }

 private:
  struct Remembered {
    std::vector<Region> regions;
    AttributesRef attributes;
    std::optional<Affine> affine;
    uint64_t frame = 0;  // in which it was computed; 0: nothing
  };

  Status remember(const Frame& frame, Remembered& memory) const;
  AttributesRef aged(const AttributesRef& list, uint32_t age) const;

  Params params_;
  Label age_name_;
  ObjectCache<Remembered> objects_;
  Remembered whole_frame_;
  Frame repeated_;
};

}  // namespace sightglass
