// The functions of the user's own in front of an element's model (hooks region and prepare), for one stream:
// their objects, and what became of each frame. They are called deep inside of the element's bin, once per
// object; what goes wrong there is said of the frame when it comes out: its tags, or that it is dropped.
//
//   auto functions = ObjectFunctions::open(plan, stream, parameters, tickets);
//   settings: preprocess-functions = (*functions)->list()      // built-in ones and the user's, as JSON
//   … on the way out: Verdict verdict = (*functions)->settle(frame);
//
// Inside of the library only.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "sightglass/elements/functions/user_hooks.h"
#include "sightglass/module/element_plan.h"
#include "sightglass/module/ticket_table.h"

namespace sightglass::module {

// The list as the elements of the bin read it; `keys` are those of the user's functions in their order.
std::string functions_json(const std::vector<FunctionStep>& steps, const std::vector<std::string>& keys);

class ObjectFunctions {
 public:
  static Result<std::unique_ptr<ObjectFunctions>> open(const ElementPlan& plan, const StreamInfo& stream,
                                                       const std::shared_ptr<const ParameterSet>& parameters,
                                                       const TicketTable& tickets);
  ~ObjectFunctions();

  const std::string& list() const { return list_; }
  void apply(const std::shared_ptr<const ParameterSet>& parameters);  // taken over before the next object
  Verdict settle(Frame& frame);
  bool failed_module() const { return failed_module_; }
  void stop(std::string_view reason);  // nothing of the pipeline runs any more

 private:
  class Hooks;
  struct Faults {  // of a frame that has not come out yet
    Time pts;
    bool failed, late, drops;
  };
  ObjectFunctions(const ElementPlan& plan, const TicketTable& tickets);
  // True: the function's result counts.
  Result<bool> note(Time pts, const Frame& before, const Frame& after, const Result<Verdict>& verdict);

  const TicketTable& tickets_;
  const Label tag_model_, error_tag_, overrun_tag_;
  std::vector<std::shared_ptr<Hooks>> hooks_;
  std::vector<OfferedHooks> offered_;
  std::string list_;
  std::atomic<bool> failed_module_ = false;
  std::mutex mutex_;
  std::vector<Faults> faults_;  // guarded; a few
};

// What the module knows of a frame, for functions.
FrameFacts facts_of(const TicketTable& tickets, Time pts);

}  // namespace sightglass::module
