// The ends of a flow where the program itself pushes and pulls: the elements frame_source and frame_sink, and
// fakesink, which drops what it gets.
#pragma once

#include <optional>

#include "sightglass/core/element.h"
#include "sightglass/flow/item_queue.h"

namespace sightglass::flow {

class FrameSource final : public Source {
 public:
  struct Params {
    unsigned max_buffers = 16;
  };
  explicit FrameSource(const Params& params) : queue_(params.max_buffers) {}

  Result<std::vector<Format>> formats() override { return std::vector<Format>(); }  // the first frame says it
  Result<bool> read(Frame& frame, Output& memory) override;
  void cancel() override { queue_.cancel(); }

  // Waits while the queue is full. Any thread.
  Status push(const Frame& frame);
  Status end();

 private:
  ItemQueue queue_;
  Item item_;
  std::atomic<bool> ended_{false};
};

class FrameSink final : public Sink {
 public:
  using Params = FrameSource::Params;
  explicit FrameSink(const Params& params) : queue_(params.max_buffers) {}

  Status write(const Frame& frame) override;
  Status drain() override;
  void cancel() override { queue_.cancel(); }

  // Waits for a frame; none after the end. Any thread.
  Result<std::optional<Frame>> pull();

 private:
  ItemQueue queue_;
  std::mutex pull_mutex_;
  bool at_end_ = false;
};

const ElementDesc& frame_source_desc();
const ElementDesc& frame_sink_desc();
const ElementDesc& fakesink_desc();

}  // namespace sightglass::flow
