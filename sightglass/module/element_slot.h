// One element of the module within one stream's pipeline: its GStreamer elements, and what the module does on
// the way in and out of them:
//
//   in   a new parameter set, or another value of a property that follows an attribute of the frame, is set
//        between two frames: the frame waits until those before it have left the element
//   out  objects that `keep` does not select go, events of zones and lines set their tag
//
// A function is an `identity` whose frames are given to the function on their way in. Counts frames and time
// for the element in the template.
//
// build() on the strand, before the pipeline runs; cancel() from any thread. The rest happens on streaming
// threads.
#pragma once

#include <gst/gst.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/module/element_plan.h"
#include "sightglass/module/function.h"
#include "sightglass/module/object_functions.h"
#include "sightglass/module/revision_switch.h"
#include "sightglass/module/ticket_table.h"

namespace sightglass::module {

class ElementTrace;  // frame_trace.h

class ElementSlot {
 public:
  ElementSlot(const ElementPlan& plan, size_t index, std::string_view source_id, RevisionSwitch& revisions,
              TicketTable& tickets);
  ~ElementSlot();

  // Adds its elements to `bin`, linked with each other, with the values of the first set.
  Status build(GstBin* bin, std::shared_ptr<const ResolvedSet> set, const StreamInfo& stream);
  GstElement* first() const { return first_; }
  GstElement* last() const { return last_; }
  const ElementPlan& plan() const { return plan_; }
  bool owns(GstObject* object) const;  // one of its elements, or part of one
  void cancel();                       // nobody waits here any more
  // When the element has kept a frame for so long that it looks stuck: since when, steady clock; 0: it has
  // not.
  int64_t oldest_ns() const;
  // The function's fault was one for the whole module.
  bool failed_module() const {
    return failed_module_ || (object_functions_ && object_functions_->failed_module());
  }
  // After the pipeline has stopped.
  void stop_function(std::string_view reason);

 private:
  struct Inside {  // a frame in the element
    Time pts;
    int64_t since_ns;
    std::shared_ptr<ElementTrace> trace;  // null: the frame is not followed
  };
  void add_probes();
  Result<Verdict> enter(Time pts, Frame* frame);
  Result<Verdict> leave(Frame& frame);
  void left(Time pts, std::string_view error = {});
  void watch_models();
  std::shared_ptr<ElementTrace> trace_inside(Time pts) const;  // null: that frame is not followed
  bool wait_until_empty();
  void take_over(const ResolvedSet& set);
  void set_property(const std::string& name, const std::string& text);
  void set_thresholds(const ResolvedElement& element);
  void follow(const Frame& frame);
  Result<Verdict> call_function(Frame& frame);
  Result<Verdict> call_behind(Frame& frame);
  Result<Verdict> told(Result<Verdict> verdict);  // of whose errors are the module's
  Verdict drop(Time pts);
  void keep_selected(Frame& frame) const;
  void set_tag(Frame& frame) const;
  bool looks_at_output() const;

  const ElementPlan& plan_;
  const size_t index_;
  const std::string source_id_;
  RevisionSwitch& revisions_;
  TicketTable& tickets_;
  const Label label_, tag_;
  GstElement *first_ = nullptr, *last_ = nullptr;  // owned by the pipeline
  GstElement* element_ = nullptr;                  // that has the properties

  std::shared_ptr<const ResolvedSet> set_;      // in force at the way in; of its thread
  std::shared_ptr<const ResolvedSet> out_set_;  // the same at the way out
  std::vector<double> followed_;                // current value of each binding
  uint64_t frame_number_ = 0;
  std::unique_ptr<FunctionStream> function_;
  std::unique_ptr<ObjectFunctions> object_functions_;
  std::vector<std::unique_ptr<FunctionStream>> behind_;  // functions of the user's own in `postprocess`
  std::vector<Region> unselected_;
  std::atomic<bool> failed_module_{false};
  bool has_thresholds_ = false;  // those of attributes have been set once
  bool watches_models_ = false;  // a frame that is followed has come

  mutable std::mutex mutex_;
  std::condition_variable emptied_;
  std::vector<Inside> inside_;  // in order
  bool is_cancelled_ = false;
};

}  // namespace sightglass::module
