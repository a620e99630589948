// Nodes without an element: tee, queue, and the caps between two '!'.
#pragma once

#include "sightglass/flow/item_queue.h"
#include "sightglass/flow/node.h"

namespace sightglass::flow {

// Hands each frame to every branch: its pixels shared, its metadata copied.
class TeeNode final : public Node {
 public:
  using Node::Node;
  Status frame(Port& port, Frame& frame, Hold hold) override;

 private:
  Frame copy_;  // kept for its capacity
};

// Starts a thread; what is behind it runs there.
class QueueNode final : public Node {
 public:
  QueueNode(RunState& run, std::string name, size_t most)
      : Node(run, std::move(name), "queue"), queue_(most) {}
  Status format(Port& port, uint64_t stream, const Format& format) override;
  Status frame(Port& port, Frame& frame, Hold hold) override;
  Status gap(Port& port, const Gap& gap) override;
  Status end(Port& port) override;
  void cancel() override { queue_.cancel(); }
  bool has_thread() const override { return true; }
  void work() override;
  size_t queued() const override { return queue_.size(); }
  size_t queue_size() const override { return queue_.most(); }
  // Until now formats pass in the calling thread, so that all are agreed before the first thread starts.
  void start_queueing() { queueing_ = true; }

 private:
  Status cancelled() const { return fail(ErrorCode::cancelled, "the flow has stopped"); }
  Status pass(Item& item);

  ItemQueue queue_;
  bool queueing_ = false;
};

// Lets one format through; others are converted to it on the way here.
class CapsNode final : public Node {
 public:
  CapsNode(RunState& run, std::string name, FormatSpecs specs)
      : Node(run, std::move(name), "capsfilter"), specs_(std::move(specs)) {}
  FormatSpecs accepts(const Port& port) const override;

 private:
  const FormatSpecs specs_;
};

}  // namespace sightglass::flow
