#include "sightglass/stream/zeromq/parking.h"

#include <algorithm>
#include <utility>

namespace sightglass::stream {

bool Parking::park(std::string_view producer, uint64_t fingerprint, std::vector<MessagePart>& parts,
                   Time now) {
  uint64_t bytes = 0;
  for (const MessagePart& part : parts) bytes += part.size();
  if (parked_.size() >= all || bytes_ + bytes > all_bytes) return false;
  const auto theirs = std::ranges::count(parked_, producer, &Parked::producer);
  if (theirs >= static_cast<std::ptrdiff_t>(per_producer)) return false;
  bytes_ += bytes;
  parked_.push_back({std::string(producer), fingerprint, bytes, now, std::exchange(parts, {})});
  return true;
}

std::optional<Parking::Parked> Parking::take(uint64_t fingerprint) {
  const auto found = std::ranges::find(parked_, fingerprint, &Parked::fingerprint);
  if (found == parked_.end()) return std::nullopt;
  Parked parked = std::move(*found);
  parked_.erase(found);
  bytes_ -= parked.bytes;
  return parked;
}

bool Parking::request_due(std::string_view producer, uint64_t fingerprint, Time now) {
  std::string key(producer);
  key.append(reinterpret_cast<const char*>(&fingerprint), sizeof(fingerprint));
  if (const Time* at = asked_.find(key); at && now - *at < between_requests) return false;
  asked_[key] = now;
  return true;
}

std::vector<std::string> Parking::expire(Time now) {
  std::vector<std::string> producers;
  // They stand in the order of arrival.
  while (!parked_.empty() && now - parked_.front().since >= longest) {
    bytes_ -= parked_.front().bytes;
    producers.push_back(std::move(parked_.front().producer));
    parked_.pop_front();
  }
  return producers;
}

std::optional<Parking::Time> Parking::deadline() const {
  if (parked_.empty()) return std::nullopt;
  return parked_.front().since + longest;
}

}  // namespace sightglass::stream
