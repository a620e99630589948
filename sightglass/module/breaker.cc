#include "sightglass/module/breaker.h"

namespace sightglass::module {

bool Breaker::may_run(const Gate& gate, Time now) const {
  if (gate.served_ == openings_.load(std::memory_order_acquire)) return true;
  std::lock_guard lock(mutex_);
  return now >= open_until_ && (gate.retry_at_ == no_time || now >= gate.retry_at_);
}

void Breaker::succeeded(Gate& gate) {
  const uint64_t openings = openings_.load(std::memory_order_acquire);
  if (gate.served_ == openings) return;
  std::lock_guard lock(mutex_);
  gate.served_ = openings;
  gate.retry_at_ = no_time;
  has_served_ = true;
}

bool Breaker::failed(Gate& gate, Kind kind, Time now) {
  std::lock_guard lock(mutex_);
  const BreakerSpec& spec = kind == Kind::crash ? crashes_ : errors_;
  // A frame that was only tried concerns its stream, not the others.
  if (gate.served_ != openings_) {
    gate.retry_at_ = now + errors_.pause;
    return false;
  }
  auto& failures = failures_[size_t(kind)];
  failures.push_back(now);
  while (failures.front() <= now - spec.window) failures.pop_front();
  if (failures.size() < spec.failures) return false;
  ++openings_;
  for (auto& list : failures_) list.clear();
  open_until_ = now + errors_.pause;
  gate.retry_at_ = no_time;
  has_served_ = false;
  return true;
}

bool Breaker::is_open() const {
  std::lock_guard lock(mutex_);
  return openings_ > 0 && !has_served_;
}

}  // namespace sightglass::module
