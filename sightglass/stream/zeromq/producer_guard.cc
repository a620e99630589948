#include "sightglass/stream/zeromq/producer_guard.h"

#include <algorithm>

namespace sightglass::stream {

bool ProducerGuard::rejected(std::string_view producer, Time now) {
  Record& record = producers_[producer];
  record.times[record.next] = now;
  record.next = (record.next + 1) % rejections_to_mute;
  record.count = std::min(record.count + 1, rejections_to_mute);
  // What stands at `next` is the oldest of the last hundred.
  if (record.count < rejections_to_mute || now - record.times[record.next] > window) return false;

  const bool again = record.mute > Duration::zero() && now < record.muted_until + forgiven_after;
  record.mute = again ? std::min<Duration>(record.mute * 2, longest_mute) : first_mute;
  record.muted_until = now + record.mute;
  record.count = 0;
  return true;
}

bool ProducerGuard::muted(std::string_view producer, Time now) {
  const Record* record = producers_.find(producer);
  return record && now < record->muted_until;
}

bool SourceGate::admit(std::string_view source, Time now) {
  if (known_.find(source)) return true;
  if (!started_) {
    started_ = true, tokens_ = options_.burst;
  } else {
    const double seconds = std::chrono::duration<double>(now - filled_).count();
    tokens_ = std::min(options_.burst, tokens_ + seconds * options_.per_second);
  }
  filled_ = now;
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  known_[source] = {};
  return true;
}

}  // namespace sightglass::stream
