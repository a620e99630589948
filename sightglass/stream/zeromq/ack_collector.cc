#include "sightglass/stream/zeromq/ack_collector.h"

#include <algorithm>
#include <utility>

namespace sightglass::stream {

void AckCollector::received(const EpochKey& key, int64_t seq, uint64_t connection, Time now) {
  auto found = epochs_.find(key);
  if (found == epochs_.end()) {
    if (epochs_.size() >= options_.epochs) forget_oldest();
    found = epochs_.try_emplace(key).first;
  }
  Epoch& epoch = found->second;
  epoch.last_message = now;
  if (epoch.connection == connection) return;
  epoch.connection = connection;
  if (seq - 1 > epoch.through) {
    epoch.through = seq - 1;
    advance(epoch);
  }
}

void AckCollector::settle(const EpochKey& key, int64_t seq, Time now) {
  const auto found = epochs_.find(key);
  if (found == epochs_.end()) return;
  Epoch& epoch = found->second;
  finish(epoch, seq);
  changed(epoch, 1, now);
}

void AckCollector::refuse(const EpochKey& key, int64_t seq, std::string_view code, bool retry, Time now) {
  const auto found = epochs_.find(key);
  if (found == epochs_.end()) return;
  Epoch& epoch = found->second;
  if (epoch.refused.size() < options_.ahead) epoch.refused.push_back({seq, std::string(code), retry});
  if (!retry) finish(epoch, seq);
  changed(epoch, 1, now);
}

void AckCollector::repeat(const EpochKey& key, Time now) {
  if (const auto found = epochs_.find(key); found != epochs_.end()) changed(found->second, 1, now);
}

void AckCollector::request_keyframe(const EpochKey& key, Time now) {
  const auto found = epochs_.find(key);
  if (found == epochs_.end()) return;
  found->second.resume = Resume::keyframe;
  changed(found->second, options_.messages, now);
}

void AckCollector::finish(Epoch& epoch, int64_t seq) const {
  const bool room = epoch.ahead.size() < options_.ahead || seq == epoch.through + 1;
  if (seq <= epoch.through || !room) return;
  epoch.ahead.insert(seq);
  advance(epoch);
}

void AckCollector::advance(Epoch& epoch) {
  while (!epoch.ahead.empty() && *epoch.ahead.begin() <= epoch.through + 1) {
    epoch.through = std::max(epoch.through, *epoch.ahead.begin());
    epoch.ahead.erase(epoch.ahead.begin());
  }
}

void AckCollector::changed(Epoch& epoch, int weight, Time now) {
  epoch.unsaid += weight;
  if (!epoch.since) epoch.since = now;
  const Time at = epoch.unsaid >= options_.messages ? now : *epoch.since + options_.delay;
  if (!deadline_ || at < *deadline_) deadline_ = at;
}

std::vector<AckCollector::Due> AckCollector::due(Time now, bool all) {
  std::vector<Due> out;
  if (!all && (!deadline_ || now < *deadline_)) return out;
  deadline_.reset();
  for (auto& [key, epoch] : epochs_) {
    if (!epoch.since) continue;
    if (!all && epoch.unsaid < options_.messages && now < *epoch.since + options_.delay) {
      const Time at = *epoch.since + options_.delay;
      if (!deadline_ || at < *deadline_) deadline_ = at;
      continue;
    }
    Due& due = out.emplace_back();
    due.key = key;
    due.ack.producer = key.producer;
    due.ack.epoch = key.epoch;
    due.ack.through = epoch.through;
    due.ack.refused = std::exchange(epoch.refused, {});
    due.ack.resume = std::exchange(epoch.resume, Resume::none);
    epoch.unsaid = 0;
    epoch.since.reset();
  }
  return out;
}

int64_t AckCollector::through(const EpochKey& key) const {
  const auto found = epochs_.find(key);
  return found == epochs_.end() ? -1 : found->second.through;
}

void AckCollector::forget_oldest() {
  const auto oldest =
      std::ranges::min_element(epochs_, {}, [](const auto& entry) { return entry.second.last_message; });
  if (oldest != epochs_.end()) epochs_.erase(oldest);
}

}  // namespace sightglass::stream
