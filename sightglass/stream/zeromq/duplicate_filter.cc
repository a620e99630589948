#include "sightglass/stream/zeromq/duplicate_filter.h"

#include <algorithm>
#include <cstring>

namespace sightglass::stream {

bool SequenceWindow::seen(int64_t seq) const {
  if (seq <= contiguous_) return true;
  return seq <= contiguous_ + width && later_[place(seq)];
}

int64_t SequenceWindow::add(int64_t seq) {
  const int64_t missing = std::max<int64_t>(seq - highest_ - 1, 0);
  highest_ = std::max(highest_, seq);
  if (seq > contiguous_ + width) {
    // The oldest of those that are missing are given up.
    const int64_t start = seq - width;
    if (start - contiguous_ >= width) {
      later_.reset();
    } else {
      for (int64_t each = contiguous_ + 1; each <= start; ++each) later_[place(each)] = false;
    }
    contiguous_ = start;
  }
  later_[place(seq)] = true;
  while (later_[place(contiguous_ + 1)]) later_[place(++contiguous_)] = false;
  return missing;
}

void SequenceWindow::remove(int64_t seq) {
  if (seq > contiguous_) {
    if (seq <= contiguous_ + width) later_[place(seq)] = false;
    return;
  }
  if (seq <= highest_ - width) return;
  // Those behind it are no longer contiguous, but were seen.
  for (int64_t each = seq + 1; each <= contiguous_; ++each) later_[place(each)] = true;
  later_[place(seq)] = false;
  contiguous_ = seq - 1;
}

size_t UuidMemory::Hash::operator()(const Uuid& uuid) const {
  uint64_t high = 0, low = 0;
  std::memcpy(&high, uuid.data(), 8);
  std::memcpy(&low, uuid.data() + 8, 8);
  // The first half of version 7 is a clock, so both are mixed.
  high ^= low * 0x9e3779b97f4a7c15ULL;
  return high ^ (high >> 29);
}

bool UuidMemory::add(const Uuid& uuid) {
  if (known_.contains(uuid)) return false;
  if (order_.size() < capacity) {
    order_.push_back(uuid);
    known_.insert(uuid);
    return true;
  }
  // The node of the oldest one is used again.
  auto node = known_.extract(order_[oldest_]);
  order_[oldest_] = uuid;
  oldest_ = (oldest_ + 1) % capacity;
  if (node) {
    node.value() = uuid;
    known_.insert(std::move(node));
  } else {
    known_.insert(uuid);
  }
  return true;
}

void UuidMemory::remove(const Uuid& uuid) {
  // Its place in the ring is left as it is: the extract() of later finds nothing there.
  known_.erase(uuid);
}

DuplicateFilter::Source& DuplicateFilter::source(std::string_view name) {
  if (const auto found = by_name_.find(name); found != by_name_.end()) {
    sources_.splice(sources_.begin(), sources_, found->second);
    return sources_.front();
  }
  if (sources_.size() >= most_sources_) {
    by_name_.erase(sources_.back().name);
    sources_.pop_back();
  }
  sources_.emplace_front().name = name;
  by_name_.emplace(name, sources_.begin());
  return sources_.front();
}

DuplicateFilter::Check DuplicateFilter::check(const Uuid& producer, std::string_view name, int64_t epoch,
                                              int64_t seq, const std::optional<Uuid>& uuid) {
  Source& state = source(name);
  auto& epochs = state.epochs;
  auto found = std::ranges::find_if(
      epochs, [&](const Epoch& each) { return each.producer == producer && each.epoch == epoch; });
  if (found == epochs.end()) {
    const auto of_producer = [&](const Epoch& each) { return each.producer == producer; };
    if (std::ranges::any_of(epochs,
                            [&](const Epoch& each) { return of_producer(each) && each.epoch > epoch; })) {
      return {Verdict::late};
    }
    if (std::ranges::count_if(epochs, of_producer) >= static_cast<std::ptrdiff_t>(epochs_per_producer)) {
      epochs.erase(std::ranges::find_if(epochs, of_producer));
    } else if (epochs.size() >= producers_per_source * epochs_per_producer) {
      epochs.pop_front();
    }
    epochs.push_back({producer, epoch, SequenceWindow(seq)});
    found = std::prev(epochs.end());
  }
  if (found->window.seen(seq)) return {Verdict::duplicate};
  const int64_t missing = found->window.add(seq);
  if (uuid && !state.uuids.add(*uuid)) return {Verdict::duplicate, missing, true};
  return {Verdict::fresh, missing, false};
}

void DuplicateFilter::forget(const Uuid& producer, std::string_view name, int64_t epoch, int64_t seq,
                             const std::optional<Uuid>& uuid) {
  const auto source = by_name_.find(name);
  if (source == by_name_.end()) return;
  for (Epoch& each : source->second->epochs) {
    if (each.producer == producer && each.epoch == epoch) each.window.remove(seq);
  }
  if (uuid) source->second->uuids.remove(*uuid);
}

}  // namespace sightglass::stream
