#include "sightglass/module/reaper.h"

#include <malloc.h>

#include <algorithm>
#include <chrono>

#include "sightglass/core/left_behind.h"
#include "sightglass/module/accounting.h"

namespace sightglass::module {
namespace {

constexpr int64_t ms = 1'000'000;
constexpr Time slice = 20 * ms;
constexpr int64_t stuck_pause = 1000 * ms, trim_pause = 1000 * ms;

}  // namespace

Reaper::Reaper(std::function<void(int)> on_stuck)
    : on_stuck_(std::move(on_stuck)), thread_([this] { run(); }) {}

Reaper::~Reaper() {
  {
    const std::scoped_lock lock(mutex_);
    is_ending_ = true;
  }
  wake_.notify_all();
  thread_.join();
  if (!items_.empty()) note_thread_left_behind();
  // Neither may go while a thread of GStreamer can still call.
  for (auto& item : items_) {
    (void)new std::shared_ptr<StreamInstance>(std::move(item.instance));
    (void)new std::shared_ptr<void>(std::move(item.keep));
  }
}

void Reaper::reap(std::shared_ptr<StreamInstance> instance, std::shared_ptr<void> keep, Time deadline_ns,
                  std::function<void()> stopped) {
  {
    const std::scoped_lock lock(mutex_);
    items_.push_back({.instance = std::move(instance),
                      .keep = std::move(keep),
                      .deadline_ns = deadline_ns,
                      .stopped = std::move(stopped)});
  }
  wake_.notify_all();
}

size_t Reaper::pending() const {
  const std::scoped_lock lock(mutex_);
  return items_.size() + busy_ - stuck_;
}

size_t Reaper::stuck() const {
  const std::scoped_lock lock(mutex_);
  return stuck_;
}

void Reaper::run() {
  int64_t last_trim = 0;
  bool wants_trim = false;
  std::unique_lock lock(mutex_);
  for (;;) {
    const int64_t now = steady_now_ns();
    auto due = std::ranges::find_if(items_, [&](const Item& item) { return item.next_try_ns <= now; });
    if (is_ending_ && std::ranges::all_of(items_, &Item::is_stuck)) return;
    if (due == items_.end()) {
      if (wants_trim && now - last_trim >= trim_pause) {
        wants_trim = false;
        last_trim = now;
        lock.unlock();
        malloc_trim(0);
        lock.lock();
        continue;
      }
      int64_t next = wants_trim ? last_trim + trim_pause : now + 3600'000 * ms;
      for (const auto& item : items_) next = std::min(next, item.next_try_ns);
      wake_.wait_for(lock, std::chrono::nanoseconds(next - now));
      continue;
    }
    // Off the list meanwhile, so that others may be added; to its end afterwards: everybody's turn comes.
    std::list<Item> taken;
    taken.splice(taken.end(), items_, due);
    Item& item = taken.front();
    ++busy_;
    lock.unlock();
    const bool is_stopped = item.instance->stop(slice);
    if (is_stopped) {
      item.instance.reset();
      if (item.stopped) item.stopped();
      item.keep.reset();
      wants_trim = true;
    }
    lock.lock();
    --busy_;
    if (is_stopped) {
      stuck_ -= item.is_stuck;
      if (item.is_stuck && on_stuck_) on_stuck_(-1);
      continue;
    }
    const int64_t then = steady_now_ns();
    if (!item.is_stuck && then >= item.deadline_ns) {
      item.is_stuck = true;
      ++stuck_;
      if (on_stuck_) on_stuck_(+1);
    }
    item.next_try_ns = item.is_stuck ? then + stuck_pause : then;
    items_.splice(items_.end(), taken);
  }
}

}  // namespace sightglass::module
