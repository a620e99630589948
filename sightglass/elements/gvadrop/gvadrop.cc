#include "sightglass/elements/gvadrop/gvadrop.h"

#include <climits>

#include "sightglass/core/registry.h"

namespace sightglass {

Result<Verdict> GvaDrop::process(Frame&) {
  if (params_.drop_frames == 0) return Verdict::pass;
  const bool passes = seen_ < params_.pass_frames;
  if (++seen_ == uint64_t(params_.pass_frames) + params_.drop_frames) seen_ = 0;
  if (passes) return Verdict::pass;
  return params_.mode == Mode::gap ? Verdict::gap : Verdict::drop;
}

namespace {

const Registration registration({
    .name = "gvadrop",
    .title = "Frame dropper",
    .klass = "Filter/Effect",
    .doc = "Passes some buffers, drops the next ones, and so on.",
    .kind = ElementKind::transform_inplace,
    .input = {{AnySpec{}}},
    .reads_results = false,
    .params = ParamTable::of<GvaDrop::Params>({
        param("pass-frames", &GvaDrop::Params::pass_frames, "buffers of each round that pass, the first ones")
            .range(1, UINT_MAX),
        param("drop-frames", &GvaDrop::Params::drop_frames,
              "buffers of each round that are dropped; 0: none"),
        param("mode", &GvaDrop::Params::mode, "what takes their place: nothing, or a gap")
            .choices({"default", "gap"}),
    }),
    .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
      return std::make_unique<GvaDrop>(params.as<GvaDrop::Params>());
    },
});

}  // namespace
}  // namespace sightglass
