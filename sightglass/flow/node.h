// A running flow is made of nodes, one per element and per tee, queue or join, and of ports, the inputs of
// nodes. Frames, gaps, formats and the end of the stream are handed from node to node by plain calls, in the
// thread of whoever pushes, until a queue takes them. Streams (SourceId::stream) share the graph; what
// depends on the stream, formats and the state of elements, is kept for each.
//
// Errors: the node in which one happens gives it to RunState::stop(), which ends everything. What is returned
// then only says "cancelled", and is passed up unchanged.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/flow/formats.h"
#include "sightglass/flow/run_state.h"
#include "sightglass/memory/map_to.h"

namespace sightglass::flow {

// The stream of a format that is agreed before the first frame has said whose it is.
inline constexpr uint64_t any_stream = std::numeric_limits<uint64_t>::max();
inline uint64_t stream_of(const std::optional<SourceId>& source) { return source ? source->stream : 0; }

// How far the runtime owns the bytes of a frame that it hands on.
struct Hold {
  bool lent = false;     // the element that made it still refers to them, but looks at them no more
  bool foreign = false;  // somebody reads the bytes who holds another handle
};
bool may_write(const Frame& frame, Hold hold);

class Node;

// An input of a node, and what happens on the way there.
class Port {
 public:
  Port(RunState& run, Node& from, Node& to, size_t index);

  Node& from() const { return from_; }
  Node& node() const { return to_; }
  size_t index() const { return index_; }  // among the inputs of its node
  const std::string& name() const { return name_; }
  CopyLedger::Hop& hop() const { return hop_; }
  const FormatSpecs& accepts() const { return accepts_; }
  void set_accepts(FormatSpecs specs) { accepts_ = std::move(specs); }

  // The best of the formats that are offered: one that is taken as it is, else one on a way without a copy,
  // else any. What an offer leaves open becomes as in `like`.
  Result<Format> choose(const FormatSpecs& offers, const Format& like) const;

  Status format(uint64_t stream, const Format& offered);
  Status frame(Frame& frame,
               Hold hold);  // `frame` may be changed, and is given back without content to rely on
  Status gap(const Gap& gap);
  Status end();
  bool ended() const { return ended_; }

  // Where frames are best written so that they need no copy here; null: anywhere.
  Ref<MemoryPool> pool(uint64_t stream);
  // "a → b: NV12 768x576, shared": a line per stream.
  std::string explain() const;

 private:
  struct Way {
    uint64_t stream;
    Format offered, taken;
    const MapPlan* plan = nullptr;  // null: as it is
  };
  struct Choice {
    Format taken;
    const MapPlan* plan = nullptr;
  };
  Result<Choice> way_to(const Format& offered) const;
  Way* way_of(uint64_t stream);
  Status convert(const Way& way, Frame& frame, Hold& hold);

  RunState& run_;
  Node& from_;
  Node& to_;
  const size_t index_;
  const std::string name_;
  CopyLedger::Hop& hop_;
  FormatSpecs accepts_;
  mutable std::mutex mutex_;  // of those who add or change ways, and of those who look from outside
  std::vector<std::unique_ptr<Way>> ways_;
  Way* last_ = nullptr;
  bool ended_ = false;
};

class Counter {
 public:
  void add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// Time in an element: the life of a BusyTime, less that of the OutsideTimes in it.
class OutsideTime {
 public:
  OutsideTime() : before_(total()), start_(std::chrono::steady_clock::now()) {}
  ~OutsideTime() { total() = before_ + (std::chrono::steady_clock::now() - start_); }
  OutsideTime(const OutsideTime&) = delete;
  OutsideTime& operator=(const OutsideTime&) = delete;
  static std::chrono::nanoseconds& total();  // of this thread

 private:
  std::chrono::nanoseconds before_;
  std::chrono::steady_clock::time_point start_;
};
class BusyTime {
 public:
  explicit BusyTime(Counter& counter)
      : counter_(counter), outside_(OutsideTime::total()), start_(std::chrono::steady_clock::now()) {}
  ~BusyTime() {
    const std::chrono::nanoseconds all = std::chrono::steady_clock::now() - start_;
    counter_.add(uint64_t((all - (OutsideTime::total() - outside_)).count()));
  }
  BusyTime(const BusyTime&) = delete;
  BusyTime& operator=(const BusyTime&) = delete;

 private:
  Counter& counter_;
  std::chrono::nanoseconds outside_;
  std::chrono::steady_clock::time_point start_;
};

class Node {
 public:
  Node(RunState& run, std::string name, std::string element)
      : run_(run), name_(std::move(name)), element_(std::move(element)) {}
  virtual ~Node() = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  const std::string& name() const { return name_; }
  const std::string& element() const { return element_; }
  std::vector<std::unique_ptr<Port>> in;
  std::vector<Port*> out;

  // What is put into the graph by the runtime does nothing but pass things on; so do the defaults here.
  virtual Status prepare() { return {}; }               // makes and starts what it runs
  virtual FormatSpecs accepts(const Port& port) const;  // asked when those behind it have been asked
  virtual Status format(Port& port, uint64_t stream, const Format& format);
  virtual Status frame(Port& port, Frame& frame, Hold hold);
  virtual Status gap(Port& port, const Gap& gap);
  virtual Status end(Port& port);  // of one input
  virtual Ref<MemoryPool> pool(const Port& port, uint64_t stream);
  virtual bool may_have_outputs() const { return true; }
  virtual bool takes_turns() const { return in.size() > 1; }  // several inputs, one at a time
  virtual void cancel() {}                                    // any thread
  virtual void stop() {}                                      // after all threads have ended

  // For those with a thread of their own: what it does.
  virtual bool has_thread() const { return false; }
  virtual void work() {}
  virtual size_t queued() const { return 0; }
  virtual size_t queue_size() const { return 0; }

  Counter frames_in, frames_out, gaps, busy;
  std::mutex turn;  // held while an input is served, where there are several

 protected:
  bool all_ended() const;
  // To all outputs.
  Status send_format(uint64_t stream, const Format& format);
  Status send(Frame& frame, Hold hold);  // of the last element: to the program
  Status send_gap(const Gap& gap);
  Status send_end();

  RunState& run_;

 private:
  const std::string name_, element_;
};

// Gives regions that an element has added the ids that follow.
void number_regions(Frame& frame);

}  // namespace sightglass::flow
