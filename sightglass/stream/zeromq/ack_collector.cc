#include "sightglass/stream/zeromq/ack_collector.h"

#include <algorithm>
#include <utility>

namespace sightglass::stream {

bool AckCollector::received(const EpochKey& key, int64_t seq, uint64_t connection, Time now) {
  auto found = epochs_.find(key);
  if (found == epochs_.end()) {
    if (epochs_.size() >= options_.epochs && !forget_oldest(now)) {
      dropped(connection);
      return false;
    }
    found = epochs_.try_emplace(key).first;
  }
  Epoch& epoch = found->second;
  epoch.last_message = now;
  epoch.newest = std::max(epoch.newest, seq);
  const uint64_t seen = drops(connection);
  const bool is_new = epoch.connection != connection;
  if (is_new || !epoch.is_proven) {
    // What starts a pass of the writer, with nothing dropped right before it.
    const bool starts = is_new ? seen == 0 : seq <= epoch.last && seen == epoch.drops_seen;
    epoch.is_proven = starts || seq <= epoch.through + 1;
    if (epoch.is_proven && seq - 1 > epoch.through) {
      epoch.through = seq - 1;
      advance(epoch);
    }
  }
  epoch.connection = connection;
  epoch.last = seq;
  epoch.drops_seen = seen;
  if (!epoch.is_proven) ask_again(epoch, now);
  return epoch.is_proven;
}

void AckCollector::dropped(uint64_t connection) {
  drops_[connection] = ++last_drop_;
  if (drops_.size() <= most_dropped) return;
  forgotten_ = drops_.begin()->first;
  drops_.erase(drops_.begin());
}

uint64_t AckCollector::drops(uint64_t connection) const {
  if (const auto found = drops_.find(connection); found != drops_.end()) return found->second;
  return connection <= forgotten_ ? UINT64_MAX : 0;
}

void AckCollector::ask_again(Epoch& epoch, Time now) {
  if (epoch.asked && now - *epoch.asked < between_requests) return;
  epoch.asked = now;
  epoch.resume = Resume::keyframe;
  changed(epoch, options_.messages, now);
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

// Of an epoch with something open, or something to say, the proof would be lost; unless its writer is gone.
bool AckCollector::forget_oldest(Time now) {
  auto oldest = epochs_.end(), gone = epochs_.end();
  const auto is_older = [&](auto a, auto b) {
    return b == epochs_.end() || a->second.last_message < b->second.last_message;
  };
  for (auto each = epochs_.begin(); each != epochs_.end(); ++each) {
    const Epoch& epoch = each->second;
    const bool is_settled = epoch.is_proven && epoch.newest <= epoch.through && !epoch.since;
    if (is_settled && is_older(each, oldest)) oldest = each;
    if (now - epoch.last_message >= gone_after && is_older(each, gone)) gone = each;
  }
  if (oldest == epochs_.end() && gone != epochs_.end()) {
    dropped(gone->second.connection);
    oldest = gone;
  }
  if (oldest == epochs_.end()) return false;
  epochs_.erase(oldest);
  return true;
}

}  // namespace sightglass::stream
