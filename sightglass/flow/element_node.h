// Nodes that run an element. The state of an element belongs to one stream, so each stream gets an instance
// of its own, made when its first format arrives; models are shared by the sessions below. Elements of the
// program itself, sinks, and those that say so (ElementDesc::serves_all_streams) have one instance for all.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/core/param.h"
#include "sightglass/flow/frame_maker.h"
#include "sightglass/flow/node.h"

namespace sightglass::flow {

class ElementNode : public Node {
 public:
  struct Kind {
    std::string name;
    const ElementDesc* desc;  // outlives the node
    ParamSet params;
    Element* own = nullptr;  // of the program; null: made from the descriptor
  };
  ElementNode(RunState& run, Kind kind)
      : Node(run, std::move(kind.name), kind.desc->name),
        desc_(*kind.desc),
        own_(kind.own),
        params_(kind.params) {}
  ~ElementNode() override { ElementNode::stop(); }

  const ElementDesc& desc() const { return desc_; }
  Element* first() const { return lanes_.empty() ? nullptr : lanes_.front()->element; }
  // Sets a live parameter of the running element. Any thread.
  Status set(std::string_view name, std::string_view text);
  Result<ParamValue> value(std::string_view name) const;

  Status prepare() override;
  Status end(Port& port) override;
  void cancel() override;
  void stop() override;

 protected:
  struct Lane {
    uint64_t stream = any_stream;
    Element* element = nullptr;
    Format input, output;
    FrameMaker maker;
  };
  virtual Status drain(Lane& lane) = 0;

  bool shared() const { return own_ || desc_.serves_all_streams || desc_.kind == ElementKind::sink; }
  Result<Lane*> lane_for(uint64_t stream);  // for a format
  Lane& lane_of(uint64_t stream);           // for a frame, which comes after its format
  // Configures the element for this lane, where it serves another one or another format now.
  Status use(Lane& lane);
  Status configure(Lane& lane);
  void apply_live_params();
  std::unexpected<Error> stop_with(Error error, uint64_t stream) {
    return run_.stop(name(), std::move(error), stream == any_stream ? 0 : stream);
  }

  const ElementDesc& desc_;
  std::vector<std::unique_ptr<Lane>> lanes_;

 private:
  Result<Element*> make();
  void give_warnings(Element& element) { run_.warn(name(), element.take_warnings()); }

  Element* const own_;
  mutable std::mutex mutex_;
  ParamSet params_;                                 // guarded
  std::vector<std::unique_ptr<Element>> elements_;  // guarded
  std::vector<Element*> started_;                   // guarded
  std::atomic<bool> live_changed_{false};
  Lane* last_ = nullptr;
  Lane* configured_ = nullptr;  // lane that a shared element is set up for
};

// The node for an element, by its kind; for sources `number` counts from 1 where there are several, else 0.
std::unique_ptr<Node> make_element_node(RunState& run, ElementNode::Kind kind, unsigned number);

}  // namespace sightglass::flow
