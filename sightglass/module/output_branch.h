// The end of a stream's pipeline: takes the results of every frame, and its picture where one is wanted.
//
//   none, copy   … ! appsink                      frames end here once their results are taken
//   raw          … ! [scale !] appsink
//   h264, jpeg…  … ! queue ! [draw !] convert, scale ! encoder ! parser ! appsink
//
// Frames that `output_frame.when` leaves out go past the encoder; the first frame behind them is forced to be
// a keyframe. Draws only if a picture is encoded.
//
// build() on the strand, the rest on streaming threads.
#pragma once

#include <gst/gst.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/module/pipeline_plan.h"
#include "sightglass/module/revision_switch.h"
#include "sightglass/module/ticket_table.h"

namespace sightglass::module {

class OutputBranch {
 public:
  OutputBranch(const PipelinePlan& plan, std::string_view source_id, RevisionSwitch& revisions,
               TicketTable& tickets, std::function<void()> on_end);
  ~OutputBranch();

  Status build(GstBin* bin, const StreamInfo& stream, MemoryKind memory, const ResolvedSet& set);
  GstElement* first() const { return first_; }
  bool owns(GstObject* object) const;
  void stop_function(std::string_view reason);

 private:
  Status add(GstBin* bin, const Stage& stage);
  Result<Verdict> take(Frame& frame);
  Result<Verdict> take_and_hold(Frame& frame);
  InstanceResult results_of(Frame& frame, const Ticket& ticket) const;
  void strip(Frame& frame) const;
  bool is_wanted(const Frame& frame, const Ticket& ticket);
  GstFlowReturn take_payload();

  const PipelinePlan& plan_;
  const OutputFrameSpec& output_;
  const std::string source_id_;
  RevisionSwitch& revisions_;
  TicketTable& tickets_;
  const std::function<void()> on_end_;
  GstElement *first_ = nullptr, *last_ = nullptr, *encoder_ = nullptr, *sink_ = nullptr;  // the pipeline's
  std::vector<GstElement*> all_;
  std::shared_ptr<const ResolvedSet> set_;
  GstElement* overlay_ = nullptr;
  std::string drawn_;  // the rules that it has
  std::unique_ptr<FunctionStream> draw_function_;
  uint64_t frame_number_ = 0;
  bool was_left_out_ = false;
};

}  // namespace sightglass::module
