// The requests of one session: a fixed number of slots, the streams that fill them, the workers that empty
// them, and whose turn it is.
//
// A stream takes a slot (waiting while all are in use), fills it and puts it into the queue; a worker takes
// it, runs it and releases it. A stream with nothing under way always gets a slot, however busy the others
// are; slots that come free go to the waiting stream that has fewest. Workers take requests in order of
// arrival (throughput) or by their timestamps (latency). In both orders nothing overtakes what it may depend
// on: a model that runs on the results of another, or of itself, is asked later and with the same timestamp.
//
// Thread-safe. Nothing allocates but join().
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/core/tensor.h"
#include "sightglass/memory/completion_fence.h"
#include "sightglass/model/engine.h"

namespace sightglass {

class RequestQueue {
 public:
  class Member;

  struct Request {
    std::vector<Tensor> inputs;
    std::vector<Binding> outputs;   // where to write
    std::vector<MemoryRef> memory;  // keeps those places
    Ref<CompletionFence> fence;
    Time pts = no_time;
    bool kept = false;  // the stream waits for it and releases the slot itself

    // Lets go of everything but the slot, and opens the fence. The request must not be touched afterwards
    // when it is kept.
    void finish(Status status);

   private:
    friend RequestQueue;
    Member* member = nullptr;
    Request* next = nullptr;
    ModelRequest* runs_in = nullptr;  // guarded by the queue
  };

  // A stream, as the queue sees it.
  class Member {
    friend RequestQueue;
    std::condition_variable changed;
    size_t slots = 0;     // in use
    uint64_t ticket = 0;  // when it began to wait; 0: it does not
    bool granted = false;
    bool cancelled = false;
  };

  RequestQueue(SchedulingPolicy policy, size_t limit, size_t inputs, size_t outputs);

  void join(Member& member);
  void leave(Member& member);  // waits for what is under way

  Request* acquire(Member& member);  // null: cancelled
  void put(Request* request);
  Request* take();  // by workers; null: closed
  // Around a run, so that cancel() can give it up. The second says whether it has.
  void begin(Request* request, ModelRequest& model);
  bool end(Request* request);
  void release(Request* request);

  // Fails what is not taken yet, gives up what runs, and fails acquire() until resume().
  void cancel(Member& member);
  void resume(Member& member);
  void close();  // lets the workers go once the queue is empty

 private:
  bool may_start(const Member& member) const { return used_ < limit_ || member.slots == 0; }
  void grant();
  void give_back(Request* request);

  const SchedulingPolicy policy_;
  const size_t limit_, input_count_, output_count_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<Member*> members_;
  std::vector<std::unique_ptr<Request>> all_;
  Request* free_ = nullptr;
  Request* first_ = nullptr;  // queued, in order of arrival
  Request* last_ = nullptr;
  size_t used_ = 0;
  uint64_t next_ticket_ = 1;
  bool closed_ = false;
};

}  // namespace sightglass
