#include "sightglass/elements/rate_adjust/rate_adjust.h"

#include "sightglass/core/registry.h"

namespace sightglass {

bool RateAdjust::Counter::next(Fraction ratio) {
  const bool passes = phase < ratio.num;
  phase = (phase + ratio.num) % ratio.den;
  return passes;
}

Status RateAdjust::start() {
  if (ratio_.den < 1 || ratio_.num < 0 || ratio_.num > ratio_.den)
    return fail(ErrorCode::invalid_argument, "ratio={}/{}: must lie between 0/1 and 1/1", ratio_.num,
                ratio_.den);
  flush();
  return {};
}

void RateAdjust::flush() {
  counters_.clear();
  frames_ = untracked_ = {};
  untracked_frame_ = 0;
}

Result<Verdict> RateAdjust::process(Frame& frame) {
  counters_.see(frame.source, frame.pts);
  bool passes;
  if (!frame.source || !frame.source->roi) {
    passes = frames_.next(ratio_);
  } else if (frame.source->object != 0) {
    passes = counters_[frame.source->object].next(ratio_);
  } else {
    if (untracked_frame_ != counters_.frame()) {
      untracked_frame_ = counters_.frame();
      untracked_passes_ = untracked_.next(ratio_);
    }
    passes = untracked_passes_;
  }
  return passes ? Verdict::pass : Verdict::gap;
}

namespace {

const Registration registration({
    .name = "rate_adjust",
    .title = "Rate reducer",
    .klass = "Filter/Effect",
    .doc = "Passes a share of the buffers, counted for each tracked object, and replaces the others by gaps.",
    .kind = ElementKind::transform_inplace,
    .input = {{AnySpec{}}},
    .reads_results = false,
    .params = ParamTable::of<RateAdjust::Params>({
        param("ratio", &RateAdjust::Params::ratio, "share of the buffers that pass, 0/1 to 1/1").range(0, 1),
    }),
    .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
      return std::make_unique<RateAdjust>(params.as<RateAdjust::Params>());
    },
});

}  // namespace
}  // namespace sightglass
