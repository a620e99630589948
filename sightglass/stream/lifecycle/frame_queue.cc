#include "sightglass/stream/lifecycle/frame_queue.h"

#include <algorithm>

namespace sightglass::stream {

QueuePolicy stream_queue_policy(QueuePolicy wanted, bool lossless, Codec codec) {
  if (wanted != QueuePolicy::automatic) return wanted;
  if (lossless) return QueuePolicy::block;
  return is_intra(codec) ? QueuePolicy::latest : QueuePolicy::drop_to_keyframe;
}

namespace detail {

bool is_never_dropped(const FrameFacts& facts) {
  return facts.kind == MessageKind::end_of_stream || facts.kind == MessageKind::stream_update;
}

// A single message may be larger than the limit in bytes: else it could never pass.
static bool fits(const QueueFill& fill, uint64_t bytes, const FrameQueueLimits& limits) {
  return fill.limited < limits.frames && fill.places < limits.frames + limits.reserve &&
         (fill.limited == 0 || fill.bytes + bytes <= limits.bytes);
}

bool has_room(const QueueFill& fill, const FrameQueueLimits& limits) { return fits(fill, 1, limits); }

Admission admit(const FrameFacts& facts, const QueueFill& fill, const FrameQueueLimits& limits,
                bool awaits_key) {
  // One place beyond the reserve: the runner's own EOS always finds one.
  if (is_never_dropped(facts))
    return fill.places < limits.frames + limits.reserve + facts.local ? Admission::take : Admission::full;
  const bool is_frame = facts.kind == MessageKind::frame;
  const bool drops = limits.policy != QueuePolicy::block;
  if (drops && awaits_key && is_frame && !facts.keyframe) return Admission::drop_newcomer;
  if (fits(fill, facts.bytes, limits)) return Admission::take;
  if (!drops) return Admission::full;
  const bool replaces = is_frame && (facts.keyframe || limits.policy == QueuePolicy::latest);
  return replaces ? Admission::replace_waiting : Admission::drop_newcomer;
}

// What the strand holds back already does not stand in the way of the newest frame.
Admission admit_after_replacing(const FrameFacts& facts, const QueueFill& fill,
                                const FrameQueueLimits& limits) {
  const QueueFill ring{fill.places, std::min(fill.limited, fill.places), 0};
  return fits(ring, facts.bytes, limits) ? Admission::take : Admission::drop_newcomer;
}

}  // namespace detail
}  // namespace sightglass::stream
