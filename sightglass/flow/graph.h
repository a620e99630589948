// The graph behind a Flow: first what has been declared, then, from start() on, the nodes and threads that
// run it.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "sightglass/bins/bin.h"
#include "sightglass/flow/element_node.h"
#include "sightglass/flow/flow.h"
#include "sightglass/flow/node.h"
#include "sightglass/flow/run_state.h"

namespace sightglass {

class Flow::Graph {
 public:
  explicit Graph(FlowOptions options);
  ~Graph();

  Result<Node> add(std::string_view element, const Settings& settings, std::string_view name);
  Result<Node> add(std::unique_ptr<Element> element, ElementDesc desc, std::string_view name);
  Status link(Node from, Node to, std::string_view to_pad);
  Result<Node> node(std::string_view name) const;

  Status start();
  Status wait();
  void cancel();
  bool running() const;
  Status set(std::string_view name, std::string_view parameter, std::string_view value);
  std::vector<NodeStats> stats() const;
  std::string explain() const;
  void finish();
  // The element behind a name, where the program pushes or pulls.
  template <class T>
  Result<T*> end_called(std::string_view name, std::string_view kind) const {
    auto* end = dynamic_cast<T*>(element_called(name));
    if (end) return end;
    return fail(ErrorCode::not_found, "no {} is called {}, or the flow has not been started", kind, name);
  }
  Status why_stopped() const;  // an error in any case

  flow::RunState run;

 private:
  struct Declared {
    std::string name, element;
    const ElementDesc* desc = nullptr;  // of the registry, or `own_desc`; null: bin, or a part of the graph
    const BinDesc* bin = nullptr;
    std::optional<ParamSet> params;
    std::array<Stage, stage_count> stages;  // of a bin, set by the user
    std::array<std::optional<int>, stage_count> queue_sizes;
    std::unique_ptr<ElementDesc> own_desc;
    std::unique_ptr<Element> own;
    size_t inputs = 0, outputs = 0;
    flow::FormatSpecs caps;

    bool is_tee() const { return element == "tee"; }
    bool may_have_inputs() const { return !desc || desc->kind != ElementKind::source; }
    bool may_have_outputs() const { return !desc || desc->kind != ElementKind::sink; }
  };
  struct Edge {
    Node from, to;
    bool is_main;  // to the first input of a join
  };
  // What a declared node has become.
  struct Built {
    flow::Node* first = nullptr;
    flow::Node* last = nullptr;
  };

  Status describe(Declared& node, const Settings& settings) const;
  static Status take_stages(Declared& bin, Settings& settings);
  std::string free_name(std::string_view element) const;
  Result<Node> keep(Declared node, std::string_view name);
  bool leads_to(Node from, Node to) const;

  Status check() const;
  Status build();
  Result<Built> build_one(Declared& node, unsigned source_number);
  Result<Built> build_bin(const Declared& node);
  Result<Built> build_stage(const Declared& bin, StageIndex index, const Stage& stage);
  // The queue in front of a stage, then the stage.
  Result<Built> build_queued(const Declared& bin, StageIndex index, const Stages& stages);
  Built one(std::unique_ptr<flow::Node> node);
  flow::Node& own(std::unique_ptr<flow::Node> node);
  void connect(flow::Node& from, flow::Node& to);
  std::vector<flow::Node*> in_order() const;  // each behind those that it takes from
  Status negotiate();
  void start_threads();
  Element* element_called(std::string_view name) const;  // null: no such node, or it does not run yet

  const FlowOptions options_;
  std::vector<Declared> declared_;
  std::vector<Edge> edges_;

  std::vector<std::unique_ptr<flow::Node>> nodes_;
  std::vector<std::shared_ptr<void>> keep_alive_;  // until the elements run
  std::vector<std::thread> threads_;
  std::mutex wait_mutex_;
  mutable std::mutex mutex_;
  std::condition_variable ended_;
  size_t active_ = 0;  // threads; guarded, as is what follows
  bool has_threads_ = false;
  enum class State { building, running, ended } state_ = State::building;
};

}  // namespace sightglass
