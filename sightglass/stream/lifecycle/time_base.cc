#include "sightglass/stream/lifecycle/time_base.h"

#include <algorithm>
#include <limits>

namespace sightglass::stream {

namespace {

constexpr Time default_duration = 40'000'000;  // 25 frames/s, where nothing is known
constexpr Time least_time = std::numeric_limits<Time>::min(), most_time = std::numeric_limits<Time>::max();
// How much earlier than its keyframe the first pictures of a stream may be shown: 16 frames, the largest
// picture buffer.
constexpr int most_reordered = 16;

__extension__ using Wide = __int128;

std::optional<Time> plus(Time a, Time b) {
  Time sum;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}
std::optional<Time> minus(Time a, Time b) {
  Time difference;
  if (__builtin_sub_overflow(a, b, &difference)) return std::nullopt;
  return difference;
}

Time frame_duration(Fraction rate, Time seen) {
  if (rate.num > 0 && rate.den > 0) return std::max<Time>(1, 1'000'000'000ll * rate.den / rate.num);
  return seen > 0 && seen <= 1'000'000'000 ? seen : default_duration;
}

}  // namespace

std::optional<Time> rescale(int64_t ticks, Fraction base) {
  if (base.num <= 0 || base.den <= 0) return std::nullopt;
  // Below 2^63 · 2^31 · 10^9 < 2^124: fits 128 bits.
  const Wide scaled = Wide(ticks) * base.num * 1'000'000'000;
  const Wide half = base.den / 2;
  const Wide rounded = (scaled < 0 ? scaled - half : scaled + half) / base.den;
  if (rounded < least_time || rounded > most_time) return std::nullopt;
  return Time(rounded);
}

Time latency(int64_t from_us, int64_t to_us) {
  int64_t us, ns;
  if (to_us <= from_us) return 0;
  if (__builtin_sub_overflow(to_us, from_us, &us) || __builtin_mul_overflow(us, int64_t(1000), &ns))
    return most_time;
  return ns;
}

TimeBase::Mapping TimeBase::map(const Stamp& stamp, Time limit_ahead) const {
  Mapping mapping;
  mapping.keyframe = stamp.keyframe;
  const std::optional<Time> pts = rescale(stamp.pts, stamp.base);
  // A dts that is behind its pts or cannot be expressed is treated as absent (W-05).
  const std::optional<Time> dts = stamp.dts ? rescale(*stamp.dts, stamp.base) : std::nullopt;
  if (!pts) return mapping;
  mapping.pts = *pts;
  const bool has_dts = dts.has_value() && *dts <= *pts;
  const bool by_pts = stamp.reorders && !has_dts;
  mapping.order = has_dts ? dts.value() : *pts;
  const std::optional<Time> step = has_started_ ? minus(mapping.order, last_order_) : Time(0);
  mapping.duration = frame_duration(stamp.frame_rate, step.value_or(0));

  if (!has_started_) {
    mapping.is_valid = minus(0, *pts).has_value();
    return mapping;
  }
  Time ahead_of = last_order_;
  bool is_back = mapping.order < last_order_;
  if (by_pts) {
    is_back = stamp.keyframe ? *pts < most_pts_ : *pts < floor_;
    ahead_of = most_pts_;
  }
  const std::optional<Time> lead = minus(mapping.order, ahead_of);
  const std::optional<Time> internal = plus(*pts, offset_);
  if (is_back) {
    mapping.jump = Jump::back;
  } else if (!lead || *lead > limit_ahead || !internal) {
    mapping.jump = Jump::ahead;
  } else {
    // Pictures that are shown before a frame of an earlier stretch of time, or twice at the same time, are
    // moved behind it by the least that there is.
    mapping.internal = std::max(*internal, internal_floor_ + 1);
    if (!stamp.reorders) mapping.internal = std::max(mapping.internal, last_internal_ + 1);
    if (mapping.internal == previous_) ++mapping.internal;
    mapping.is_valid = true;
    return mapping;
  }
  // Goes on one frame behind the last.
  const std::optional<Time> next = plus(last_internal_, mapping.duration);
  if (!next || !minus(*next, *pts)) return mapping;
  mapping.internal = *next;
  mapping.is_valid = true;
  return mapping;
}

void TimeBase::commit(const Mapping& mapping) {
  if (!has_started_ || mapping.jump != Jump::none) {
    offset_ = mapping.internal - mapping.pts;  // checked by map()
    // Leading pictures of the first keyframe are early, nothing else is.
    floor_ = minus(mapping.pts, most_reordered * mapping.duration).value_or(least_time);
    internal_floor_ = last_internal_;
    most_pts_ = mapping.pts;
    has_started_ = true;
  } else {
    // What was shown before this keyframe is over for good.
    if (mapping.keyframe) {
      floor_ = most_pts_;
      internal_floor_ = last_internal_;
    }
    most_pts_ = std::max(most_pts_, mapping.pts);
  }
  last_order_ = mapping.order;
  previous_ = mapping.internal;
  last_internal_ = std::max(last_internal_, mapping.internal);
}

}  // namespace sightglass::stream
