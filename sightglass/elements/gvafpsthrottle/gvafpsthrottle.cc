#include "sightglass/elements/gvafpsthrottle/gvafpsthrottle.h"

#include <algorithm>
#include <chrono>

#include "sightglass/core/registry.h"

namespace sightglass {

using Clock = std::chrono::steady_clock;

Time FramePacer::pass_at(Time now) {
  if (period_ == 0) return now;
  const Time earliest = next_ == no_time ? now : std::max(next_, now - period_);
  next_ = earliest + period_;
  return std::max(earliest, now);
}

Result<Verdict> FpsThrottle::process(Frame&) {
  const Time now = std::chrono::nanoseconds(Clock::now().time_since_epoch()).count();
  const Time then = pacer_.pass_at(now);
  std::unique_lock lock(mutex_);
  if (then > now)
    wake_.wait_until(lock, Clock::time_point(std::chrono::nanoseconds(then)), [&] { return cancelled_; });
  if (cancelled_) return fail(ErrorCode::cancelled, "stopped");
  return Verdict::pass;
}

void FpsThrottle::cancel() {
  std::lock_guard lock(mutex_);
  cancelled_ = true;
  wake_.notify_all();
}

void FpsThrottle::flush() {
  std::lock_guard lock(mutex_);
  cancelled_ = false;
  pacer_.restart();
}

namespace {

const Registration registration({
    .name = "gvafpsthrottle",
    .title = "Frame rate limiter",
    .klass = "Filter/Effect",
    .doc = "Holds buffers back so that no more than the wanted number passes in a second.",
    .kind = ElementKind::transform_inplace,
    .input = {{AnySpec{}}},
    .reads_results = false,
    .params = ParamTable::of<FpsThrottle::Params>({
        param("target-fps", &FpsThrottle::Params::target_fps, "most buffers in a second; 0: no limit")
            .range(0, 1e6)
            .in("1/s"),
    }),
    .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
      return std::make_unique<FpsThrottle>(params.as<FpsThrottle::Params>());
    },
});

}  // namespace
}  // namespace sightglass
