// A graph of elements that runs without GStreamer. Built from the text of a pipeline, or call by call:
//
//   auto flow = Flow::parse("ffmpeg_multi_source inputs=street.mp4 ! object_detect model=yolox.onnx ! "
//                           "opencv_meta_overlay ! ffmpeg_encoder_sink location=out.mp4");
//   if (!flow) return forward_error(flow);
//   flow->on_frame([](const Frame& frame) { … });   // what leaves the last element; optional
//   Status status = flow->run();                    // until the end of all sources
//
// The text is that of a GStreamer pipeline: `element property=value ! …`, `name=x` and `x.` for branches,
// `tee`, `queue`, caps between two '!', quotes. Elements are those of the registry, the bins of the GStreamer
// plug-in under the same names and with the same properties (they expand to the same elements), and:
//
//   tee            hands each frame to every branch, its pixels shared
//   queue          max-size-buffers (default 16): starts a thread; what is behind it runs there
//   meta_aggregate joins the results of branches into their frame
//   frame_source, frame_sink   where the program itself pushes and pulls (push(), pull())
//
// One thread per source and per queue; everything between runs in the thread of whoever pushes. Queues are
// bounded and hold their writer back. A frame arrives where the next element reads it: where memory or format
// differ the way is planned (map_to.h) when the graph starts, counted in the ledger and refused there if
// there is none. The first error of any element ends the whole flow; it names the element. Per frame and
// element nothing is allocated once warm.
//
// Several sources and several streams of one source share the graph: their frames carry a SourceId::stream
// each (counted from 1 where there are several sources), and elements that keep state have an instance per
// stream.
//
// Threads: building and start() from one thread; cancel(), finish(), set(), stats(), push(), pull() from any.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/core/result.h"
#include "sightglass/memory/copy_ledger.h"

namespace sightglass {

struct FlowOptions {
  bool strict_zero_copy = false;  // start() fails, naming the two elements, where a link would copy
  uint64_t frame_limit = 0;       // each source ends after so many frames; 0: at its own end
};

class Flow {
 public:
  // An element in the graph; valid as long as the flow.
  using Node = size_t;
  using Settings = std::vector<std::pair<std::string, std::string>>;  // parameter, value as in a pipeline

  struct NodeStats {
    std::string name;     // "object_detect0", or as given
    std::string element;  // of the registry
    uint64_t frames_in = 0, frames_out = 0, gaps = 0;
    // In the element itself: without those behind it and without waiting for queues, but with its wait for
    // work in flight, such as inference, whose result it reads.
    std::chrono::nanoseconds busy{0};
    size_t queued = 0, queue_size = 0;  // queues only
  };

  explicit Flow(FlowOptions options = {});
  static Result<Flow> parse(std::string_view pipeline, FlowOptions options = {});
  Flow(Flow&&) noexcept;
  Flow& operator=(Flow&&) noexcept;
  ~Flow();  // cancels and waits

  Result<Node> add(std::string_view element, const Settings& settings = {}, std::string_view name = {});
  // An element of the program's own, with the descriptor that says what it takes and gives. `desc` is kept.
  Result<Node> add(std::unique_ptr<Element> element, ElementDesc desc, std::string_view name = {});
  // From the output of one to a (further) input of the other.
  Status link(Node from, Node to);
  Result<Node> node(std::string_view name) const;

  // Called with every frame that leaves the last element of the graph (the one whose output nobody takes), in
  // the thread that made it. The frame is lent for the call.
  void on_frame(std::function<Status(const Frame&)> callback);

  Status start();  // makes the elements, agrees on formats, starts the threads
  Status wait();   // for the end: success after EOS everywhere, else the first error
  Status run();    // both
  void cancel();   // ends within 100 ms, whatever it waits for; wait() then gives ErrorCode::cancelled
  void finish();   // ends all sources, as if they had come to their end; what is under way is finished
  bool running() const;
  // A live parameter of a running element or bin, between two of its frames.
  Status set(std::string_view name, std::string_view parameter, std::string_view value);
  // What the user should know though it is no error, a line each, given once.
  std::vector<std::string> take_warnings();

  // frame_source and frame_sink by name. push() waits while the queue is full, pull() until there is a frame;
  // none after the end.
  Status push(std::string_view name, const Frame& frame);
  Status end(std::string_view name);  // EOS of that source
  Result<std::optional<Frame>> pull(std::string_view name);

  std::vector<NodeStats> stats() const;
  const CopyLedger& ledger() const;  // a hop per link: "video_to_tensor0 → onnx_tensor_inference0"
  // The graph as it runs: per link the format, the memory and the way between them, one line each.
  std::string explain() const;

 private:
  class Graph;
  std::unique_ptr<Graph> graph_;
};

}  // namespace sightglass
