#include "sightglass/adapters/kafka/damaged_batch.h"

#include <algorithm>

namespace sightglass::adapters {

DamagedBatch::Action DamagedBatch::damaged(int64_t base, int64_t next, int64_t log_end,
                                           Clock::time_point now) {
  if (is_searched_) {
    if (base != base_) {  // another one, which begins behind this one
      end_ = std::clamp(base, last_ + 1, probe_);
      is_end_seen_ = true;
    } else {
      last_ = probe_;
    }
    return next_probe();
  }
  if (base != base_) base_ = base, attempts_ = 0, since_ = now;
  // Nothing may be asked for behind the end: the broker would send us to where the partition begins.
  if (++attempts_ < least_attempts || now - since_ < patience || log_end <= std::max(base, next))
    return Action::wait;
  is_searched_ = true, is_end_seen_ = false;
  first_ = last_ = std::max(base, next);
  end_ = log_end;
  step_ = 1;
  return next_probe();
}

DamagedBatch::Action DamagedBatch::whole() {
  end_ = probe_;
  is_end_seen_ = true;
  return next_probe();
}

DamagedBatch::Action DamagedBatch::next_probe() {
  if (last_ + 1 >= end_) return Action::pass;
  probe_ = is_end_seen_ ? last_ + (end_ - last_) / 2 : last_ + std::min(step_, end_ - last_ - 1);
  step_ *= 2;
  return Action::seek;
}

}  // namespace sightglass::adapters
