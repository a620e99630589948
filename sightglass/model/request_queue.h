// The requests of one session: the streams that make them, the workers that run them in batches, and whose
// turn it is.
//
// A stream takes a slot (waiting while all are in use), fills it with one sample and puts it into the queue;
// a worker takes as many samples as make a batch, runs them and releases them. A stream with nothing under
// way always gets a slot, however busy the others are; slots that come free go to the waiting stream that has
// fewest.
//
// Samples of one Form, of whatever stream, make batches. A batch leaves the queue
//   - when it is full;
//   - when its oldest sample has waited for the time-out;
//   - when a stream that has a sample in it ends or leaves (drain(), leave());
//   - when nobody can add to it: each of the streams has ended, or has not sent anything for the time-out, or
//     its thread waits, for a slot or for a result.
// So a stream that ends, pauses or is flushed holds nobody up longer than the time-out. Of several batches
// that may leave, the throughput policy takes one that is due before one that is full, and of those the
// fullest; the latency policy takes the one with the earliest timestamp. What may run by itself (batches of
// one) leaves in order of arrival (throughput) or by timestamps (latency).
//
// A thread that asks for the result of what it has sent itself, before it sends more, runs it in place of a
// worker, which saves two changes of threads: what a stream sends in that way wakes no worker up.
//
// A sample whose input is a result that is still in this queue is put aside until a batch has been finished,
// so that a model may run on its own results.
//
// Thread-safe. Nothing allocates but join().
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/core/histogram.h"
#include "sightglass/core/tensor.h"
#include "sightglass/memory/completion_fence.h"
#include "sightglass/model/engine.h"
#include "sightglass/model/sample_watch.h"
#include "sightglass/model/session_results.h"

namespace sightglass {

// The time by which batches wait; another one in tests.
class BatchClock {
 public:
  using Time = std::chrono::steady_clock::time_point;
  virtual ~BatchClock() = default;
  virtual Time now() { return std::chrono::steady_clock::now(); }
  // As of a condition variable: returns at `until` or earlier.
  virtual void wait(std::condition_variable& changed, std::unique_lock<std::mutex>& lock, Time until) {
    changed.wait_until(lock, until);
  }
};

class RequestQueue final : public RefCounted {
 public:
  class Member;

  // What samples have to share to be run together. Outlives the requests that name it.
  class Form {
   public:
    virtual ~Form() = default;
    size_t capacity = 1;  // most samples of a batch

   private:
    friend RequestQueue;
    size_t queued = 0;
  };

  struct Request {
    std::vector<Tensor> inputs;
    std::vector<Binding> outputs;            // of one that is kept: what the engine has made
    std::vector<Ref<ResultMemory>> results;  // of others: where the outputs are looked for; may be null
    Ref<CompletionFence> fence;
    Form* form = nullptr;
    sightglass::Time pts = no_time;
    bool kept = false;                   // the stream waits for it and releases the slot itself
    int64_t submitted_ns = 0;            // steady clock
    std::shared_ptr<SampleWatch> watch;  // null: nobody wants to know its times

    // Lets go of everything but the slot, and opens the fence. The request must not be touched afterwards
    // when it is kept.
    void finish(Status status);

   private:
    friend RequestQueue;
    Member* member = nullptr;
    Request* next = nullptr;
    BatchClock::Time arrived;
    ModelRequest* runs_in = nullptr;
    bool urgent = false;     // its stream has ended
    bool aside = false;      // until a batch has been finished
    bool cancelled = false;  // while it ran
    uint64_t seen = 0;       // batches that were finished when it was taken
  };

  // A stream, as the queue sees it.
  class Member {
    friend RequestQueue;
    std::condition_variable changed;
    Form* form = nullptr;
    size_t slots = 0;     // in use
    uint64_t ticket = 0;  // when it began to wait; 0: it does not
    bool granted = false;
    bool cancelled = false;
    bool ended = false;            // nothing will come before the next acquire()
    bool asks_itself = false;      // its thread waits for each result before it sends more
    std::thread::id thread;        // of the last acquire()
    size_t counted = 0;            // samples of the batch that is being looked for, see takes_part()
    uint64_t round = 0;            // of which search that is
    BatchClock::Time last_active;  // when it sent something, or could go on, or joined
    sightglass::Time period = no_time;
  };

  // What a thread needs to run batches, see SessionWorker.
  class Runner {
   public:
    virtual ~Runner() = default;
    virtual void run(std::vector<Request*>& batch) = 0;
    std::vector<Request*> batch;  // kept for its capacity
  };

  struct Options {
    SchedulingPolicy policy = SchedulingPolicy::throughput;
    size_t limit = 2;  // samples under way
    size_t inputs = 1, outputs = 1;
    bool batches = false;  // whether any form has a capacity of more than 1
    int timeout = -1;      // of a batch, in ms; -1: two frame periods of the slowest stream, 40 ms if none is
                           // known
    BatchClock* clock = nullptr;  // null: the real one
    size_t max_per_stream = 0;    // samples of one stream in a batch; 0: any number
  };
  explicit RequestQueue(const Options& options);

  // `form`: of the samples that it is going to send.
  void join(Member& member, Form& form);
  void leave(Member& member);  // waits for what is under way

  Request* acquire(Member& member);  // null: cancelled
  void put(Request* request);
  // By workers: fills `batch` with the samples of one form; false: closed.
  bool take(std::vector<Request*>& batch);
  // Puts one back that cannot run yet, since it waits for a result of this queue.
  void put_aside(Request* request);
  // Around a run, so that cancel() can give it up once nobody wants any of it.
  void begin(std::span<Request* const> batch, ModelRequest& model);
  void end(std::span<Request* const> batch);
  static bool was_cancelled(const Request& request) { return request.cancelled; }  // after end()
  void release(std::span<Request* const> requests);

  // What is queued leaves at once, and nobody waits for more of this stream before its next acquire().
  void drain(Member& member);
  // Fails what is not taken yet, gives up what runs, and fails acquire() until resume().
  void cancel(Member& member);
  void resume(Member& member);
  void close();  // lets the workers go once the queue is empty

  // Runs of the engine, counted by those who make them.
  struct Totals {
    std::atomic<uint64_t> batches{0}, samples{0};
    Histogram sizes{count_bounds}, waits{time_bounds}, runs{time_bounds};  // samples; ns; ns
    // Of those that failed, other than by being given up: all, those since the last that did not, and the
    // last one.
    std::atomic<uint64_t> failed{0}, failed_in_a_row{0};
    std::mutex failure_mutex;
    std::string last_failure;    // guarded
    int64_t last_failed_ns = 0;  // guarded; steady clock
  };
  Totals& totals() { return totals_; }

  void set_timeout(int milliseconds);
  void set_period(Member& member, sightglass::Time period);

  // Runners for threads that wait, which are not run by more threads at once than there are. close() waits
  // for them. Before the first request.
  void set_spare_runners(std::vector<Runner*> runners);
  // A wait of this thread for a result of the queue: it sends nothing meanwhile, and may run what it waits
  // for.
  Status wait(CompletionFence& fence);
  // The queue whose batches this thread is running; null: of none.
  static RequestQueue* of_this_thread();
  static RequestQueue* set_of_this_thread(RequestQueue* queue);  // gives the one before

 private:
  struct Group {  // what is queued of one form
    Form* form;
    size_t count = 0;
    Request* first = nullptr;
    sightglass::Time earliest = no_time;
    bool urgent = false;
  };
  bool may_start(const Member& member) const { return used_ < options_.limit || member.slots == 0; }
  void grant();
  void give_back(Request* request);
  void append(Request* request);
  std::chrono::nanoseconds timeout() const;
  // When nobody can add to batches of this form any more; none: that is so already.
  std::optional<BatchClock::Time> hopeless_at(const Form& form, BatchClock::Time now) const;
  // The one that leaves now; null: none, and then when to look again.
  const Group* choose(BatchClock::Time& again);
  void collect(const Group& group, std::vector<Request*>& batch);
  // Whether a batch may still take a sample of this one's stream.
  bool takes_part(const Request& request);
  void drop(Request* dropped);
  bool is_waiting(std::thread::id thread) const;
  void end_wait(std::thread::id thread, const Fence* fence);
  void unlink(Request* request, Request* before);
  // Takes what this thread waits for, if it may run it. `of_member`: the thread sends samples of a stream.
  Runner* take_here(const Fence& fence, bool of_member);

  Options options_;
  Totals totals_;
  BatchClock& clock_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<Member*> members_;
  struct Waiting {
    std::thread::id thread;
    const Fence* fence;  // null: for a slot
  };
  std::vector<Waiting> waiting_;
  std::vector<Runner*> spares_;  // those not in use
  std::vector<std::unique_ptr<Request>> all_;
  std::vector<Group> groups_;  // of choose(), kept for its capacity
  Request* free_ = nullptr;
  Request* first_ = nullptr;  // queued, in order of arrival
  Request* last_ = nullptr;
  size_t used_ = 0;
  size_t aside_ = 0;
  uint64_t finished_ = 0;  // batches
  uint64_t next_ticket_ = 1;
  uint64_t round_ = 0;  // searches for a batch
  size_t helping_ = 0;  // threads that run what they wait for
  std::condition_variable helped_;
  bool closed_ = false;
};

}  // namespace sightglass
