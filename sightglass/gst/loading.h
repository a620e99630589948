// What takes minutes while an element loads its model, such as building a TensorRT engine, as messages on the
// bus: GST_MESSAGE_PROGRESS with the code "load-model", START when there is something to say, CONTINUE with
// more of it, COMPLETE when the element goes on, ERROR when it cannot. gst-launch-1.0 prints them. The same
// is a message in GLib's log, since the state change that loads often holds up whoever reads the bus.
#pragma once

#include <gst/gst.h>

#include "sightglass/core/result.h"
#include "sightglass/model/load_progress.h"

namespace sightglass::gst {

// Holds for what this thread loads.
class Loading {
 public:
  explicit Loading(GstElement* element)
      : element_(element), told_([this](std::string_view text) { tell(text); }) {}
  ~Loading();
  Loading(const Loading&) = delete;
  // The element cannot go on.
  void fail(const Error& error);

 private:
  void tell(std::string_view text);

  GstElement* const element_;
  bool has_begun_ = false;
  const LoadProgress told_;
};

}  // namespace sightglass::gst
