// Masks as GStreamer's own entries (GstAnalyticsSegmentationMtd). Our attribute list keeps the exact scores;
// what stands here is for elements that know nothing of it.
//
// Written: scores as a picture of two regions, 0 outside and 1 where the score is at least one half; label
// ids as they are, without a copy, 255 belonging to no region, with an entry of class names by place of the
// region where the mask has a legend.
// Read, where no attribute stands for it: inside of an object scores of 0 and 1; of the whole frame label
// ids, which are places of regions where classes are named, else the values of the pixels.
#pragma once

#include <gst/analytics/analytics.h>

#include <functional>
#include <optional>

#include "sightglass/gst/results.h"

namespace sightglass::gst {

// Adds the entry of a mask, contained in the object `owner`, or of the whole frame where that is -1.
// `quark` looks texts up. Nothing is added for what is no mask.
void add_mask_mtd(GstAnalyticsRelationMeta* meta, const Attribute& mask, PixelSize size, int32_t owner,
                  const std::function<GQuark(std::string_view)>& quark);

// The attribute that a foreign entry is; none where it makes no sense.
std::optional<Attribute> read_mask_mtd(const GstAnalyticsMtd& mtd, PixelSize size, bool of_object);

}  // namespace sightglass::gst
