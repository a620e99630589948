// Serial executors over a few threads: tasks of one strand run one after the other, in the order in which
// they were posted, those of different strands side by side. Every virtual stream has one, so that its state
// needs no lock.
//
//   StrandPool pool({.threads = 2});
//   std::shared_ptr<Strand> strand = pool.make([self] { self->on_timer(); });
//   strand->post([self] { self->pump(); });       // from any thread; never waits for a task
//   strand->arm(machine.next_deadline());          // from its own tasks: on_timer once that time has come
//
// A strand runs up to 16 tasks in a row before others get their turn. Tasks are stored in nodes that are used
// again: a post() allocates only when more are waiting than ever before. A closure of over 96 bytes does not
// compile; let it capture a pointer.
//
// Timers: one deadline per strand, one thread for all. One that moves later costs nothing; the callback may
// then come early, and arms again. The clock is the steady one in ns, or the one that is given (tests), and
// then check_timers() says that it has moved.
//
// The pool outlives all posts: its destructor waits for the tasks that run and drops those that wait. A
// strand is kept alive by whoever holds it and while it has work. Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/core/ring.h"

namespace sightglass::stream {

Time steady_now();  // ns

// A closure in a fixed place; moved by its own move constructor.
class Task {
 public:
  static constexpr size_t most_bytes = 96;

  Task() = default;
  template <class Function>
    requires(!std::is_same_v<std::decay_t<Function>, Task>)
  Task(Function&& function) {  // NOLINT: converts from any closure
    using Held = std::decay_t<Function>;
    static_assert(sizeof(Held) <= most_bytes && alignof(Held) <= alignof(std::max_align_t),
                  "capture a pointer instead");
    static_assert(std::is_nothrow_move_constructible_v<Held>);
    new (place_.data()) Held(std::forward<Function>(function));
    act_ = [](Act act, void* self, void* other) {
      Held* held = std::launder(static_cast<Held*>(self));
      switch (act) {
        case Act::run:
          (*held)();
          break;
        case Act::move:
          new (other) Held(std::move(*held));
          held->~Held();
          break;
        case Act::destroy:
          held->~Held();
          break;
      }
    };
  }
  Task(Task&& other) noexcept { take(other); }
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      reset();
      take(other);
    }
    return *this;
  }
  ~Task() { reset(); }
  explicit operator bool() const { return act_; }
  void operator()() { act_(Act::run, place_.data(), nullptr); }
  void reset() {
    if (act_) std::exchange(act_, nullptr)(Act::destroy, place_.data(), nullptr);
  }

 private:
  enum class Act { run, move, destroy };
  void take(Task& other) {
    if (other.act_) other.act_(Act::move, other.place_.data(), place_.data());
    act_ = std::exchange(other.act_, nullptr);
  }

  alignas(std::max_align_t) std::array<std::byte, most_bytes> place_;
  void (*act_)(Act, void*, void*) = nullptr;
};

class StrandPool;

class Strand : public std::enable_shared_from_this<Strand> {
 public:
  ~Strand();
  Strand(const Strand&) = delete;
  Strand& operator=(const Strand&) = delete;

  void post(Task task);
  // From a task of this strand (or before its first): on_timer at `deadline`, or a little later. Replaces the
  // deadline before; `never`: none.
  void arm(Time deadline);
  // Tasks that wait are dropped, none is taken any more, the timer is off. Returns at once: a task may be
  // running.
  void close();

  // For liveness (5.1): since when it has had work without finishing a task; no_time: it has none.
  Time busy_since() const { return busy_since_.load(std::memory_order_relaxed); }
  bool is_current() const;  // called from one of its tasks

 private:
  friend class StrandPool;
  Strand(StrandPool& pool, std::function<void()> on_timer);
  void run();  // on a thread of the pool
  void timer_is_due();

  StrandPool& pool_;
  const std::function<void()> on_timer_;
  std::mutex mutex_;
  Ring<Task> tasks_;
  bool is_scheduled_ = false, is_closed_ = false, timer_due_ = false;
  std::atomic<Time> busy_since_{no_time};
  // Under the pool's timer lock.
  Time deadline_, armed_;
};

class StrandPool {
 public:
  struct Options {
    unsigned threads = 2;
    std::function<Time()> now = steady_now;
  };
  StrandPool() : StrandPool(Options{}) {}
  explicit StrandPool(Options options);
  ~StrandPool();
  StrandPool(const StrandPool&) = delete;
  StrandPool& operator=(const StrandPool&) = delete;

  std::shared_ptr<Strand> make(std::function<void()> on_timer = {});
  Time now() const { return now_(); }
  void check_timers();
  // Joins the threads; nothing runs any more. The destructor does it too, but strands may outlive this call.
  void stop();

 private:
  friend class Strand;
  struct Timer {
    Time deadline;
    std::weak_ptr<Strand> strand;
    bool operator>(const Timer& other) const { return deadline > other.deadline; }
  };
  void work();
  void keep_time();
  void enqueue(std::shared_ptr<Strand> strand);
  void arm(Strand& strand, Time deadline);

  const std::function<Time()> now_;
  std::mutex work_mutex_;
  std::condition_variable work_;
  Ring<std::shared_ptr<Strand>> ready_;
  bool stops_ = false;

  std::mutex timer_mutex_;
  std::condition_variable timer_wake_;
  std::vector<Timer> timers_;  // a heap, nearest first
  bool timers_stop_ = false, timers_changed_ = false;

  std::vector<std::thread> threads_;
  std::thread timer_thread_;
};

}  // namespace sightglass::stream
