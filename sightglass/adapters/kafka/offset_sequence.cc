#include "sightglass/adapters/kafka/offset_sequence.h"

#include <algorithm>

namespace sightglass::adapters {

OffsetSequence::Finding OffsetSequence::check(int64_t offset, int32_t epoch, int64_t time_ms,
                                              Clock::time_point now) {
  if (next_ < 0 || offset == next_) {
    take(offset, epoch, time_ms);
    return {};
  }
  if (offset < next_)
    return {.verdict = epoch > epoch_ || time_ms > latest_ms_ ? Verdict::rewritten : Verdict::repeated};
  if (offset == behind_) {
    next_look_ = now + pause;
  } else if (now >= next_look_) {
    behind_ = offset;
    return {.verdict = Verdict::missing};
  }
  const int64_t passed_over = offset - next_;
  take(offset, epoch, time_ms);
  return {.passed_over = passed_over};
}

void OffsetSequence::take(int64_t offset, int32_t epoch, int64_t time_ms) {
  next_ = offset + 1;
  epoch_ = std::max(epoch_, epoch);
  latest_ms_ = std::max(latest_ms_, time_ms);
  behind_ = -1;
}

}  // namespace sightglass::adapters
