#include "sightglass/elements/rate_adjust/rate_adjust.h"

#include "sightglass/core/registry.h"

namespace sightglass {

bool RateAdjust::Counter::next(Fraction ratio) {
  const bool passes = phase < ratio.num;
  phase = (phase + ratio.num) % ratio.den;
  return passes;
}

RateAdjust::RateAdjust(const Params& params) : ratio_(params.ratio), counters_(frames_until_forgotten) {
  if (auto status = set(params); !status) warnings_.push_back(status.error().message);
}

Status RateAdjust::set(const Params& params) {
  if (params.reuse_growth != 0 && params.reuse_growth <= 1)
    return fail(ErrorCode::invalid_argument, "reuse-growth={}: must be 0 or above 1", params.reuse_growth);
  if (auto status = when_.set(params.when); !status) return status;
  growth_ = float(params.reuse_growth);
  return {};
}

void RateAdjust::update(const ParamSet& params) {
  if (auto status = set(params.as<Params>()); !status) warnings_.push_back(kept_as_it_was(status.error()));
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
  when_.reset();
  frames_ = untracked_ = {};
  untracked_frame_ = 0;
}

bool RateAdjust::object_passes(const Frame& frame, Counter& counter) const {
  const Box box = frame.regions.empty() ? Box{} : frame.regions.front().box;
  bool passes = counter.next(ratio_);
  if (!passes && growth_ > 0 && counter.width > 0 && counter.height > 0 &&
      (box.w >= growth_ * counter.width || box.h >= growth_ * counter.height)) {
    passes = true;
    counter.phase = 0;
    counter.next(ratio_);
  }
  if (passes) counter.width = box.w, counter.height = box.h;
  return passes;
}

Result<Verdict> RateAdjust::process(Frame& frame) {
  counters_.see(frame.source, frame.pts);
  bool passes;
  if (!frame.source || !frame.source->roi) {
    when_.begin(frame);
    passes = when_.matches(frame) && frames_.next(ratio_);
  } else if (frame.source->object != 0) {
    passes = object_passes(frame, counters_[frame.source->object]);
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
    .doc = "Passes a share of the buffers, counted for each tracked object, and replaces the others by gaps. "
           "Frames can be chosen by a selector as well.",
    .kind = ElementKind::transform_inplace,
    .input = {{AnySpec{}}},
    .params = ParamTable::of<RateAdjust::Params>({
        param("ratio", &RateAdjust::Params::ratio, "share of the buffers that pass, 0/1 to 1/1").range(0, 1),
        param("when", &RateAdjust::Params::when,
              "selector of the frames that pass, as JSON; the others become gaps; empty: all")
            .live(),
        param("reuse-growth", &RateAdjust::Params::reuse_growth,
              "an object passes early when its box has grown by this factor since it passed last; 0: off")
            .range(0, 1000)
            .live(),
    }),
    .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
      const auto& values = params.as<RateAdjust::Params>();
      if (auto status = Selection::check(values.when, "when", Selector::Scope::frame); !status)
        return forward_error(status);
      if (values.reuse_growth != 0 && values.reuse_growth <= 1)
        return fail(ErrorCode::invalid_argument, "reuse-growth={}: must be 0 or above 1",
                    values.reuse_growth);
      return std::make_unique<RateAdjust>(params.as<RateAdjust::Params>());
    },
});

}  // namespace
}  // namespace sightglass
