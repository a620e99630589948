// The one registered extension of GStreamer's analytics metadata, "sg-attributes": a shared list of typed
// attributes and the exact numbers of a detection. An entry holds one reference to its list; its hooks keep
// that count right when buffers are copied and freed.
#pragma once

#include <gst/analytics/analytics.h>

#include "sightglass/core/region.h"

namespace sightglass::gst {

// Lies in the relation meta as plain bytes, which GStreamer moves: never keep a pointer to it across an add.
struct AttributesEntry {
  const AttributeList* list;  // one reference, or null
  const char* model;          // text of a Label
  Box box;                    // exact, 0..1
  int32_t label_id;
  int32_t parent;     // id of the object that it was found in; -1: none, or not known
  bool is_detection;  // box, label_id, parent and model are set
};

GstAnalyticsMtdType attributes_mtd_type();
// Adds an empty entry; false when memory has run out.
bool add_attributes_mtd(GstAnalyticsRelationMeta* meta, GstAnalyticsMtd* mtd);
AttributesEntry* attributes_entry(const GstAnalyticsMtd& mtd);
// Replaces the list of an entry.
void set_attributes(AttributesEntry& entry, const AttributesRef& list);

}  // namespace sightglass::gst
