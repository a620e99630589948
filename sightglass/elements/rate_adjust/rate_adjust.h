// Lets a share of the frames pass and turns the others into gaps: with 1/N the first of each run of N.
//
// Regions of tracked objects have a counter for each object, so that every object is looked at each N frames,
// beginning with the first in which it is seen. Untracked regions cannot be told apart; all those of one
// frame pass, or none. Whole frames are counted one by one. The gap carries the time and the `source` of the
// frame that it stands for.
//
// With `when` only whole frames of which the selector holds are counted; the others become gaps. Regions are
// not asked. With `reuse-growth` an object passes before its turn when its box is wider or higher by this
// factor than it was when it passed last; its count begins anew then.
//
// One stream, one thread.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/object_cache/object_cache.h"
#include "sightglass/elements/selection/selection.h"

namespace sightglass {

class RateAdjust final : public TransformInplace {
 public:
  struct Params {
    Fraction ratio{1, 1};     // of the frames that pass, 0/1 to 1/1
    std::string when;         // selector of frames; empty: all
    double reuse_growth = 0;  // 0: off
  };

  explicit RateAdjust(const Params& params);

  Status start() override;
  void update(const ParamSet& params) override;
  std::vector<std::string> take_warnings() override { return std::exchange(warnings_, {}); }
  Result<Verdict> process(Frame& frame) override;
  void gap(const Gap& gap) override { counters_.see(gap.source, gap.pts); }
  void flush() override;

  size_t remembered_objects() const { return counters_.size(); }

  // A track that is not seen for so long has ended: longer than a tracker bridges.
  static constexpr uint64_t frames_until_forgotten = 300;

 private:
  // Spreads the passes evenly, the first one at once: of `den` calls in a row `num` give true.
  struct Counter {
    int64_t phase = 0;
    float width = 0, height = 0;  // of the object's box when it passed last
    bool next(Fraction ratio);
  };

  Status set(const Params& params);
  bool object_passes(const Frame& frame, Counter& counter) const;

  Fraction ratio_;
  Selection when_{"when", Selector::Scope::frame};
  float growth_ = 0;
  std::vector<std::string> warnings_;
  ObjectCache<Counter> counters_;
  Counter frames_, untracked_;
  uint64_t untracked_frame_ = 0;  // for which the next line was decided
  bool untracked_passes_ = false;
};

}  // namespace sightglass
