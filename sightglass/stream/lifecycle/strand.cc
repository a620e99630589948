#include "sightglass/stream/lifecycle/strand.h"

#include <algorithm>
#include <chrono>

#include "sightglass/stream/lifecycle/stream_rules.h"

namespace sightglass::stream {

Time steady_now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

namespace {
constexpr int most_in_a_row = 16;
thread_local const Strand* current_strand = nullptr;
}  // namespace

// ── Strand ──

Strand::Strand(StrandPool& pool, std::function<void()> on_timer)
    : pool_(pool), on_timer_(std::move(on_timer)), deadline_(never), armed_(never) {}

Strand::~Strand() = default;

bool Strand::is_current() const { return current_strand == this; }

void Strand::post(Task task) {
  {
    std::lock_guard lock(mutex_);
    if (is_closed_) return;  // the task goes when the lock is gone
    tasks_.push() = std::move(task);
    if (is_scheduled_) return;
    is_scheduled_ = true;
    busy_since_.store(pool_.now(), std::memory_order_relaxed);
  }
  pool_.enqueue(shared_from_this());
}

void Strand::arm(Time deadline) { pool_.arm(*this, deadline); }

void Strand::close() {
  Ring<Task> dropped;  // destroyed without the lock: tasks may hold anything
  {
    std::lock_guard lock(mutex_);
    is_closed_ = true;
    timer_due_ = false;
    std::swap(dropped, tasks_);
  }
  pool_.arm(*this, never);
}

void Strand::timer_is_due() {
  {
    std::lock_guard lock(mutex_);
    if (is_closed_) return;
    timer_due_ = true;
    if (is_scheduled_) return;
    is_scheduled_ = true;
    busy_since_.store(pool_.now(), std::memory_order_relaxed);
  }
  pool_.enqueue(shared_from_this());
}

void Strand::run() {
  current_strand = this;
  for (int i = 0;; ++i) {
    Task task;
    bool is_timer = false;
    {
      std::lock_guard lock(mutex_);
      if (timer_due_) {
        timer_due_ = false;
        is_timer = true;
      } else if (!tasks_.empty()) {
        if (i >= most_in_a_row) break;  // stays scheduled, behind the others
        task = std::move(tasks_.front());
        tasks_.pop();
      } else {
        is_scheduled_ = false;
        busy_since_.store(no_time, std::memory_order_relaxed);
        current_strand = nullptr;
        return;
      }
    }
    if (!is_timer)
      task();
    else if (on_timer_)
      on_timer_();
    task.reset();
    busy_since_.store(pool_.now(), std::memory_order_relaxed);
  }
  current_strand = nullptr;
  pool_.enqueue(shared_from_this());
}

// ── StrandPool ──

StrandPool::StrandPool(Options options) : now_(std::move(options.now)) {
  for (unsigned i = 0; i < std::max(1u, options.threads); ++i) threads_.emplace_back([this] { work(); });
  timer_thread_ = std::thread([this] { keep_time(); });
}

StrandPool::~StrandPool() { stop(); }

void StrandPool::stop() {
  {
    std::lock_guard lock(timer_mutex_);
    timers_stop_ = true;
  }
  timer_wake_.notify_all();
  if (timer_thread_.joinable()) timer_thread_.join();
  {
    std::lock_guard lock(work_mutex_);
    stops_ = true;
  }
  work_.notify_all();
  for (std::thread& thread : threads_)
    if (thread.joinable()) thread.join();
  // Tasks may hold their own strand: only closing ends such a circle.
  for (; !ready_.empty(); ready_.pop()) std::exchange(ready_.front(), nullptr)->close();
}

std::shared_ptr<Strand> StrandPool::make(std::function<void()> on_timer) {
  return std::shared_ptr<Strand>(new Strand(*this, std::move(on_timer)));
}

void StrandPool::enqueue(std::shared_ptr<Strand> strand) {
  {
    std::lock_guard lock(work_mutex_);
    if (!stops_) ready_.push() = std::move(strand);
  }
  if (strand)
    strand->close();
  else
    work_.notify_one();
}

void StrandPool::work() {
  std::unique_lock lock(work_mutex_);
  for (;;) {
    work_.wait(lock, [this] { return stops_ || !ready_.empty(); });
    if (stops_) return;
    std::shared_ptr<Strand> strand = std::move(ready_.front());
    ready_.pop();
    lock.unlock();
    strand->run();
    strand.reset();
    lock.lock();
  }
}

void StrandPool::arm(Strand& strand, Time deadline) {
  {
    std::lock_guard lock(timer_mutex_);
    strand.deadline_ = deadline;
    if (deadline >= strand.armed_) return;  // looked at when the armed time comes
    strand.armed_ = deadline;
    timers_.push_back({deadline, strand.weak_from_this()});
    std::ranges::push_heap(timers_, std::greater{});
    if (timers_.front().deadline < deadline) return;  // not the nearest
    timers_changed_ = true;
  }
  timer_wake_.notify_one();
}

void StrandPool::check_timers() {
  {
    std::lock_guard lock(timer_mutex_);
    timers_changed_ = true;
  }
  timer_wake_.notify_one();
}

void StrandPool::keep_time() {
  std::shared_ptr<Strand> strand;
  std::unique_lock lock(timer_mutex_);
  while (!timers_stop_) {
    if (strand) {  // may be the last to hold it, and what goes with it may call us
      lock.unlock();
      strand.reset();
      lock.lock();
      continue;
    }
    timers_changed_ = false;
    const Time now = now_();
    if (timers_.empty() || timers_.front().deadline > now) {
      const auto changed = [this] { return timers_stop_ || timers_changed_; };
      if (timers_.empty())
        timer_wake_.wait(lock, changed);
      else  // an hour at most: the clock need not be the steady one
        timer_wake_.wait_for(
            lock, std::chrono::nanoseconds(std::min<Time>(timers_.front().deadline - now, 3600 * second)),
            changed);
      continue;
    }
    std::ranges::pop_heap(timers_, std::greater{});
    const Timer timer = std::move(timers_.back());
    timers_.pop_back();
    strand = timer.strand.lock();
    if (!strand || timer.deadline != strand->armed_) continue;  // armed anew for an earlier time since
    strand->armed_ = never;
    if (strand->deadline_ > now) {
      if (strand->deadline_ == never) continue;
      strand->armed_ = strand->deadline_;
      timers_.push_back({strand->armed_, timer.strand});
      std::ranges::push_heap(timers_, std::greater{});
      continue;
    }
    strand->deadline_ = never;
    lock.unlock();
    strand->timer_is_due();
    lock.lock();
  }
}

}  // namespace sightglass::stream
