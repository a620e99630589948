// meta_aggregate: joins the results of branches to the frames that they were computed from. Its first input
// has the frames, every other one the results of a branch, which belong to the frame of the same stream and
// time. Each branch closes a frame with a result for the whole frame, the result of the frame's last region,
// a gap, a later result, or its end. Frames leave in their order, in the thread that brought what was
// missing; results of several branches are joined in the order of the inputs.
//
// Frames wait here without a queue of their own. How many may wait is bounded.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "sightglass/flow/item_queue.h"
#include "sightglass/flow/node.h"

namespace sightglass::flow {

class JoinNode final : public Node {
 public:
  JoinNode(RunState& run, std::string name, bool attaches_tensors)
      : Node(run, std::move(name), "meta_aggregate"), attaches_tensors_(attaches_tensors) {}

  // After all inputs are known. `most`: frames that may wait; more than the queues of the branches hold.
  void start_joining(size_t most);

  FormatSpecs accepts(const Port& port) const override;
  Status format(Port& port, uint64_t stream, const Format& format) override;
  Status frame(Port& port, Frame& frame, Hold hold) override;
  Status gap(Port& port, const Gap& gap) override;
  Status end(Port& port) override;
  Ref<MemoryPool> pool(const Port& port, uint64_t stream) override;
  bool takes_turns() const override { return false; }
  void cancel() override;
  size_t queued() const override;
  size_t queue_size() const override { return most_; }

 private:
  // What has come from one branch for one stream.
  struct Branch {
    Ring<Item> results;
    Label model;
    std::vector<Label> tensors;
    bool has_tensors = false;
  };
  struct Stream {
    Ring<Item> frames;
    std::vector<Branch> branches;
  };

  static bool is_main(const Port& port) { return port.index() == 0; }
  Stream& stream(uint64_t id);
  Status put(Port& port, uint64_t id, Item::Kind kind, Frame* frame, Hold hold, const Gap* gap);
  bool is_complete(Stream& stream);
  static bool has_closed(Branch& branch, Time now);
  void join_results(Stream& stream, Item& item);
  bool next(Item& item);
  Status send_complete(std::unique_lock<std::mutex>& lock);
  Status send_item(Item& item);

  const bool attaches_tensors_;
  size_t most_ = 0;
  bool has_one_origin_ = false;  // frames and results

  mutable std::mutex mutex_;
  std::condition_variable room_;
  std::map<uint64_t, std::unique_ptr<Stream>> streams_;  // guarded, as is all below
  size_t waiting_ = 0;                                   // frames
  std::vector<bool> ended_;                              // by input
  bool sending_ = false;                                 // by one thread at a time, without the lock
  bool cancelled_ = false, end_sent_ = false;
  Item item_;  // of the thread that is sending; kept for its capacity
};

}  // namespace sightglass::flow
