// The node of a source: reads in a thread of its own, and says when the format changes.
#pragma once

#include "sightglass/flow/element_node.h"

namespace sightglass::flow {

class SourceNode final : public ElementNode {
 public:
  // `number`: 0 for the only source, whose streams keep their ids; else it becomes part of them.
  SourceNode(RunState& run, Kind kind, unsigned number)
      : ElementNode(run, std::move(kind)), number_(number) {}

  // Agrees with those behind on a format, where the source knows it before the first frame.
  Status negotiate();
  bool has_thread() const override { return true; }
  void work() override;

 private:
  class Allocating;
  struct Stream {
    uint64_t id;
    Format format;
  };

  Status drain(Lane&) override { return {}; }
  Source& source() { return *static_cast<Source*>(lanes_.front()->element); }
  Result<bool> read();
  void number(Frame& frame) const;
  Status follow_format(const Frame& frame);

  const unsigned number_;
  std::vector<Stream> streams_;
  Frame frame_;  // kept for its capacity
};

}  // namespace sightglass::flow
