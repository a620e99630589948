#include "sightglass/stream/zeromq/ack_window.h"

#include <algorithm>

namespace sightglass::stream {

bool AckWindow::has_room(std::string_view source, uint64_t bytes) const {
  const auto found = sources_.find(source);
  if (found == sources_.end() || found->second.open == 0) return true;
  return found->second.open < options_.messages && found->second.open_bytes + bytes <= options_.bytes;
}

void AckWindow::add(std::shared_ptr<const Packet> packet) {
  Source& source = sources_[packet->source];
  ++source.open, ++unacknowledged_;
  source.open_bytes += packet->bytes;
  source.items.push_back({std::move(packet)});
}

std::optional<AckWindow::Transmission> AckWindow::next() {
  if (sources_.empty()) return std::nullopt;
  auto source = sources_.upper_bound(turn_);
  for (size_t i = 0; i <= sources_.size(); ++i, ++source) {
    if (source == sources_.end()) source = sources_.begin();
    if (source->second.cursor >= source->second.items.size()) continue;
    const Item& item = source->second.items[source->second.cursor];
    // Stays with this one until sent(): the predecessor in the order is what upper_bound() starts behind.
    turn_ = source == sources_.begin() ? std::string() : std::prev(source)->first;
    return Transmission{item.packet, item.attempt, item.acknowledged, item.sent || item.attempt > 0,
                        item.refused};
  }
  return std::nullopt;
}

void AckWindow::sent(Time now) {
  auto source = sources_.upper_bound(turn_);
  if (source == sources_.end()) return;
  Source& state = source->second;
  if (state.cursor == state.first_open) state.progress = now;
  state.items[state.cursor++].sent = true;
  turn_ = source->first;
}

AckWindow::Outcome AckWindow::acknowledge(std::string_view name, int64_t epoch, int64_t through,
                                          std::span<const Refusal> refused, Time now) {
  Outcome outcome;
  const auto source = sources_.find(name);
  if (source == sources_.end()) return outcome;
  auto& items = source->second.items;

  const auto find = [&](int64_t seq) {
    const auto found = std::ranges::lower_bound(items, std::pair(epoch, seq), {}, [](const Item& item) {
      return std::pair(item.packet->epoch, item.packet->seq);
    });
    return found != items.end() && found->packet->epoch == epoch && found->packet->seq == seq ? found
                                                                                              : items.end();
  };
  // An acknowledgement of what has long been forgotten is repeated and harmless; one of the future is
  // neither.
  const auto last = std::ranges::find_last_if(items, [&](const Item& item) {
    return (item.sent || item.attempt > 0) && item.packet->epoch == epoch;
  });
  if (last.empty() || through > last.begin()->packet->seq) return outcome;
  if (std::ranges::any_of(refused,
                          [&](const Refusal& each) { return each.seq > last.begin()->packet->seq; })) {
    return outcome;
  }
  outcome.known = true;

  for (const Refusal& each : refused) {
    const auto item = find(each.seq);
    if (each.retry || item == items.end() || item->acknowledged) continue;
    outcome.refused.push_back({item->packet, each.code});
    item->refused = true;
    settle(source->second, *item);
    ++outcome.settled;
  }
  for (Item& item : items) {
    if (item.packet->epoch != epoch || item.packet->seq > through || item.acknowledged) continue;
    settle(source->second, item);
    ++outcome.settled;
    if (item.packet->settlement) outcome.processed.push_back(item.packet->settlement);
  }
  if (outcome.settled > 0) {
    source->second.progress = now;
    size_t& open = source->second.first_open;
    while (open < items.size() && items[open].acknowledged) ++open;
    prune(source);
  }
  return outcome;
}

void AckWindow::settle(Source& source, Item& item) {
  item.acknowledged = true;
  --source.open, --unacknowledged_;
  source.open_bytes -= item.packet->bytes;
  source.retained_bytes += item.packet->bytes;
  retained_ += item.packet->bytes;
}

void AckWindow::drop_front(Source& source, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    source.retained_bytes -= source.items.front().packet->bytes;
    retained_ -= source.items.front().packet->bytes;
    source.items.pop_front();
  }
  source.cursor -= std::min(source.cursor, count);
  source.first_open -= count;
}

// Keeps what a decoder needs to start at the oldest open message, or at the one that will come next.
void AckWindow::prune(Sources::iterator place) {
  Source& source = place->second;
  const size_t open = source.first_open;
  if (source.repeating && (open == source.items.size() || !source.items[open].sent)) {
    source.repeating = false;
    source.cursor = std::max(source.cursor, open);
  }

  size_t start = open;
  if (retained_ <= options_.retained) {
    const int64_t epoch = open < source.items.size() ? source.items[open].packet->epoch
                          : source.items.empty()     ? 0
                                                     : source.items.back().packet->epoch;
    for (size_t i = std::min(open + 1, source.items.size()); i-- > 0;) {
      const Packet& packet = *source.items[i].packet;
      if (packet.epoch != epoch || (packet.end && i < open)) break;
      if (packet.keyframe) {
        start = i;
        break;
      }
    }
  }
  drop_front(source, std::min(start, open));
  if (source.items.empty()) sources_.erase(place);
}

void AckWindow::rewind(Source& source) {
  // Pruning has left the keyframe at the front, where there is one.
  source.cursor = 0;
}

void AckWindow::rewind(std::string_view name) {
  if (const auto found = sources_.find(name); found != sources_.end()) rewind(found->second);
}

void AckWindow::restart() {
  for (auto& [name, source] : sources_) {
    for (Item& item : source.items) {
      if (item.sent) ++item.attempt;
      item.sent = false;
    }
    source.repeating = false;
    rewind(source);
  }
}

bool AckWindow::waiting(const Source& source) {
  return source.first_open < source.cursor && source.items[source.first_open].sent;
}

size_t AckWindow::tick(Time now) {
  size_t count = 0;
  for (auto& [name, source] : sources_) {
    if (!waiting(source) || now < source.progress + options_.ack_timeout) continue;
    source.progress = now;
    source.repeating = true;
    rewind(source);
    ++count;
  }
  return count;
}

std::optional<AckWindow::Time> AckWindow::deadline() const {
  std::optional<Time> first;
  for (const auto& [name, source] : sources_) {
    if (!waiting(source)) continue;
    const Time at = source.progress + options_.ack_timeout;
    if (!first || at < *first) first = at;
  }
  return first;
}

size_t AckWindow::unacknowledged(std::string_view source) const {
  const auto found = sources_.find(source);
  return found == sources_.end() ? 0 : found->second.open;
}

}  // namespace sightglass::stream
