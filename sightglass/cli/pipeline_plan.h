// A pipeline as a typed list of elements, from which both the pipeline and its text follow, so that what
// `--explain` prints is what runs.
//
//   PipelinePlan plan{{"filesrc", {{"location", path}}}, {"decodebin"}, {"object_detect", {{"model",
//   model}}}, {"fakesink"}}; std::string text = to_text(plan);      // filesrc location=… ! decodebin !
//   object_detect model=… ! fakesink auto pipeline = build_pipeline(plan);
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "sightglass/core/result.h"
#include "sightglass/memory/gst/handles.h"

namespace sightglass::cli {

struct PlannedElement {
  std::string factory;
  std::vector<std::pair<std::string, std::string>> settings = {};  // property, value as text
  std::string name = {};                                           // empty: automatic
  std::string after = {};  // name of the element that it follows; empty: the one before it in the list
  std::string package =
      {};  // what to install when GStreamer does not have it; empty: `sightglass doctor` says
};
using PipelinePlan = std::vector<PlannedElement>;

// A caps filter.
PlannedElement caps_filter(std::string caps);

std::string to_text(const PipelinePlan& plan);

// Elements whose output appears only when the stream is known (decodebin and its like) are linked then, with
// their first video output; a stream without any is an error on the bus.
Result<gst::ElementPtr> build_pipeline(const PipelinePlan& plan);

bool has_element(const std::string& factory);

}  // namespace sightglass::cli
