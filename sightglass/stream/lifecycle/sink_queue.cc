#include "sightglass/stream/lifecycle/sink_queue.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace sightglass::stream {

namespace {

// Streams; those that ended without a keyframe are forgotten in the end.
constexpr size_t most_awaiting = 4096;
constexpr size_t full_batch = 64 << 10;  // bytes
constexpr auto batch_time = std::chrono::milliseconds(5);

}  // namespace

SinkQueue::SinkQueue(const SinkQueueLimits& limits, SinkSpill spill, Told on_dropped, Told on_spilled)
    : limits_(limits),
      on_dropped_(std::move(on_dropped)),
      on_spilled_(std::move(on_spilled)),
      spill_(std::move(spill)),
      ring_(limits.records + limits.reserve) {
  assert(limits_.policy != QueuePolicy::spill || (spill_.file && spill_.encode && spill_.decode));
  if (spill_.file) counts_.last_error = spill_.file->notice();
}

SinkQueue::~SinkQueue() {
  batch_writer_ = {};
  std::lock_guard lock(mutex_);
  write_batch();
}

// A single record may be larger than the limit in bytes: else it could never pass.
bool SinkQueue::fits(const SinkItem& item) const {
  return count_ < limits_.records && (count_ == 0 || bytes_ + item.bytes <= limits_.bytes);
}

SinkQueue::Status SinkQueue::push(SinkItem& item, std::chrono::nanoseconds timeout) {
  std::unique_lock lock(mutex_);
  const bool blocks = limits_.policy == QueuePolicy::block;
  const auto has_place = [&] {
    if (limits_.policy == QueuePolicy::spill) return true;
    return item.keep ? fits_reserve() : !blocks || fits(item);
  };
  // Room is waited for where dropping is not allowed; everything else finds an answer at once.
  if (timeout.count() > 0) room_.wait_for(lock, timeout, [&] { return is_closed_ || has_place(); });
  if (is_closed_) return Status::closed;
  if (!has_place()) return Status::full;

  ++counts_.pushed;
  if (limits_.policy == QueuePolicy::spill) {
    if (limits_.durable || !is_read() || !fits(item)) return spill(item);
  } else if (item.keep) {
    take(item);
    return Status::taken;
  } else if (limits_.policy == QueuePolicy::drop_to_keyframe) {
    if (!item.keyframe && awaits_key(item.stream)) return drop(item);
    if (!fits(item)) {
      if (item.keyframe)
        drop_waiting(item, [&](const SinkItem& waiting) { return waiting.stream == item.stream; });
      if (!item.keyframe || !fits(item)) {
        set_awaits_key(item.stream, true);
        return drop(item);
      }
    }
    if (item.keyframe) set_awaits_key(item.stream, false);
  } else if (!fits(item)) {  // drop_oldest; what is with the sink stays
    drop_waiting(item, [](const SinkItem&) { return true; });
    if (!fits(item)) return drop(item);
  }
  take(item);
  return Status::taken;
}

void SinkQueue::take(SinkItem& item, uint32_t disk_records) {
  bytes_ += item.bytes;
  at(count_++) = {std::move(item), disk_records};
  // Waking the sink's thread costs more than all the rest: once for what it waits for.
  if (has_enough()) filled_.notify_one();
}

SinkQueue::Status SinkQueue::drop(SinkItem& item) {
  ++counts_.dropped;
  if (on_dropped_) on_dropped_(item);
  item = {};
  return Status::dropped;
}

// The oldest ones that wait and meet the condition, until the newcomer fits.
template <class Condition>
void SinkQueue::drop_waiting(const SinkItem& newcomer, Condition&& condition) {
  const size_t before = count_;
  size_t kept = popped_;
  for (size_t i = popped_; i < before; ++i) {
    Place& place = at(i);
    if (!fits(newcomer) && !place.item.keep && place.disk_records == 0 && condition(place.item)) {
      bytes_ -= place.item.bytes;
      --count_;
      drop(place.item);
      continue;
    }
    if (kept != i) at(kept) = std::exchange(place, Place{});
    ++kept;
  }
}

void SinkQueue::note_error(const Error& error) {
  ++counts_.spill_errors;
  counts_.last_error = error.message;
}

SinkQueue::Status SinkQueue::spill(SinkItem& item) {
  SpillFile& file = *spill_.file;
  auto& bytes = file.begin_record();
  const size_t begin = bytes.size();
  spill_.encode(item, bytes);
  // All that is older is in memory: this one too, where there is room, and it need not be read.
  const bool stays = is_read() && fits(item);
  // All that may throw comes first: the batch and what stands for it here are to agree.
  if (leaving_.size() == leaving_.capacity()) leaving_.reserve(std::max<size_t>(64, 2 * leaving_.size()));
  if (!batch_writer_.joinable())
    batch_writer_ = std::jthread([this](const std::stop_token& stop) { write_in_time(stop); });
  // What cannot be said as bytes stays in memory, where it is counted if it goes.
  sightglass::Status added = bytes.size() == begin
                                 ? fail(ErrorCode::unsupported, "a record that cannot be spilled")
                                 : file.end_record(stays);
  for (int i = 0; i < 3 && !added && added.error().code == ErrorCode::exhausted; ++i) {
    if (file.batched() > 0) {  // its room is not known before it is written
      write_batch();
      return spill(item);
    }
    if (!make_room_on_disk(item)) break;
    added = file.end_record(stays);
  }
  if (!added) {
    note_error(added.error());
    write_batch();  // what it holds comes first
    return keep_in_memory(item);
  }
  if (file.batched() == 1) {
    batch_due_ = std::chrono::steady_clock::now() + batch_time;
    batch_begun_.notify_one();
  }
  if (stays) {
    ++staying_;
    take(item);
  } else {
    leaving_.push_back(std::move(item));
    filled_.notify_one();
  }
  item = {};
  if (file.batch_bytes() >= full_batch) write_batch();
  return Status::taken;
}

// The limit or a full disk: the oldest go. Those that memory has as well stay, if it takes this one.
bool SinkQueue::make_room_on_disk(const SinkItem& item) {
  if (is_read() && (spill_.file->records() == 0 || fits(item))) return false;
  auto lost = spill_.file->drop_oldest();
  if (!lost) return false;
  counts_.spill_dropped += *lost;
  return true;
}

SinkQueue::Status SinkQueue::keep_in_memory(SinkItem& item) {
  if (!is_read()) read_back();
  if (!is_read() && !item.keep) return drop(item);
  if (!item.keep && !fits(item)) drop_waiting(item, [](const SinkItem&) { return true; });
  if (!(item.keep ? fits_reserve() : fits(item))) return drop(item);
  take(item);
  return Status::taken;
}

void SinkQueue::write_batch() {
  if (!spill_.file) return;
  SpillFile& file = *spill_.file;
  for (int tries = 0; file.batched() > 0;) {
    size_t written = 0;
    const auto status = file.write(written);
    settle_written(written);
    if (status) break;
    if (written > 0) tries = 0;
    counts_.last_error = status.error().message;
    if (staying_ > 0) {  // memory has them; a crash would lose them, so their writers wait for the sink
      counts_.spill_errors += staying_;
      file.forget(std::exchange(staying_, 0));
      continue;
    }
    if (status.error().code == ErrorCode::exhausted && tries++ < 3) {
      if (const auto lost = file.drop_oldest(); lost && (*lost > 0 || file.records() > 0)) {
        counts_.spill_dropped += *lost;
        continue;
      }
    }
    counts_.spill_errors += leaving_.size();
    file.forget(file.batched());
    std::vector<SinkItem> homeless;
    homeless.swap(leaving_);
    for (SinkItem& item : homeless) (void)keep_in_memory(item);
  }
}

void SinkQueue::settle_written(size_t records) {
  counts_.spilled += records;
  const size_t stayed = std::min(records, staying_);
  for (size_t i = 0; i < stayed; ++i, --staying_) {
    Place& place = at(count_ - staying_);
    place.item.on_disk = true;
    place.disk_records = 1 + std::exchange(undecoded_, 0);
    if (on_spilled_) on_spilled_(place.item);
  }
  const auto left = leaving_.begin() + ptrdiff_t(records - stayed);
  if (on_spilled_) std::for_each(leaving_.begin(), left, on_spilled_);
  leaving_.erase(leaving_.begin(), left);
}

// So that nobody waits for long where neither more records come nor the sink asks.
void SinkQueue::write_in_time(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    if (!batch_begun_.wait(lock, stop, [&] { return spill_.file->batched() > 0; })) return;
    if (std::chrono::steady_clock::now() >= batch_due_)
      write_batch();
    else
      batch_begun_.wait_until(lock, stop, auto(batch_due_), [&] { return spill_.file->batched() == 0; });
  }
}

// Into the places that memory has, so that the sink gets whole batches.
void SinkQueue::read_back() {
  while (count_ < limits_.records && (count_ == 0 || bytes_ < limits_.bytes)) {
    auto more = spill_.file->read(buffer_);
    if (!more) note_error(more.error());
    if (!more || !*more) break;
    auto item = spill_.decode(buffer_);
    if (!item) {
      note_error(item.error());
      ++undecoded_;
      continue;
    }
    item->on_disk = true;
    take(*item, 1 + std::exchange(undecoded_, 0));
  }
}

bool SinkQueue::pop(std::vector<SinkItem>& items, size_t most, std::chrono::nanoseconds timeout,
                    size_t least) {
  std::unique_lock lock(mutex_);
  wanted_ = std::max<size_t>(least, 1);
  filled_.wait_for(lock, timeout, [&] { return is_closed_ || has_enough(); });
  wanted_ = 1;
  write_batch();
  const bool reads = !is_read();
  if (reads) read_back();
  const size_t end = std::min(count_, popped_ + most);
  if (end == popped_) {  // the disk cannot be read just now: not at once again
    if (reads && !is_full() && !is_closed_) filled_.wait_for(lock, timeout);
    return false;
  }
  for (; popped_ < end; ++popped_) items.push_back(at(popped_).item);
  return true;
}

void SinkQueue::done(size_t items) {
  std::lock_guard lock(mutex_);
  items = std::min(items, popped_);
  uint64_t disk_records = 0;
  for (size_t i = 0; i < items; ++i) {
    Place& place = at(0);
    bytes_ -= place.item.bytes;
    disk_records += place.disk_records;
    place = {};
    first_ = (first_ + 1) % ring_.size();
    --count_;
    --popped_;
  }
  counts_.delivered += items;
  if (disk_records > 0)
    if (auto committed = spill_.file->commit(disk_records); !committed) note_error(committed.error());
  room_.notify_all();
}

void SinkQueue::retry() {
  std::lock_guard lock(mutex_);
  popped_ = 0;
  filled_.notify_one();
}

bool SinkQueue::has_room() const {
  std::lock_guard lock(mutex_);
  return fits(SinkItem{.bytes = 1});
}

bool SinkQueue::is_empty() const {
  std::lock_guard lock(mutex_);
  return count_ == 0 && is_read();
}

void SinkQueue::close() {
  std::lock_guard lock(mutex_);
  is_closed_ = true;
  write_batch();
  filled_.notify_all();
  room_.notify_all();
}

SinkQueue::Counts SinkQueue::counts() const {
  std::lock_guard lock(mutex_);
  Counts counts = counts_;
  counts.records = count_;
  counts.bytes = bytes_;
  if (spill_.file) {
    counts.spill_records = spill_.file->unread() + leaving_.size();
    counts.spill_bytes = spill_.file->bytes();
    counts.spill_dropped += spill_.file->damaged();
  }
  return counts;
}

bool SinkQueue::awaits_key(uint64_t stream) const { return std::ranges::contains(awaiting_, stream); }

void SinkQueue::set_awaits_key(uint64_t stream, bool awaits) {
  const auto found = std::ranges::find(awaiting_, stream);
  if (awaits && found == awaiting_.end()) {
    if (awaiting_.size() == most_awaiting) awaiting_.erase(awaiting_.begin());
    awaiting_.push_back(stream);
  } else if (!awaits && found != awaiting_.end()) {
    awaiting_.erase(found);
  }
}

}  // namespace sightglass::stream
