// Stages of a bin as typed lists: which elements, with which settings. What is wrong with one is said before
// the pipeline runs, in one line.
#pragma once

#include <gst/gst.h>

#include <string>
#include <vector>

#include "sightglass/core/result.h"
#include "sightglass/gst/handles.h"
#include "sightglass/model/description.h"

namespace sightglass::gst {

// A list of elements to be linked one behind the other; ElementSettings is {factory name, {property, text}…}.
using Stage = std::vector<ElementSettings>;

// Makes one element. Settings of our own elements are checked against their descriptors, since GObject only
// prints what is out of range.
Result<ElementPtr> make_element(const ElementSettings& settings);

// Makes the elements of a stage and links them inside `bin`; gives the first and the last.
struct Chain {
  GstElement* first = nullptr;  // owned by the bin
  GstElement* last = nullptr;
};
Result<Chain> add_stage(GstBin* bin, const Stage& stage);

// A queue of that many buffers, limited by nothing else.
ElementSettings queue_of(unsigned buffers);

// A caps filter.
ElementSettings caps_filter(std::string caps);

}  // namespace sightglass::gst
