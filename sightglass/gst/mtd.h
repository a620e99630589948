// What the files around results.h share: pixels, and walking over the entries of a relation meta.
#pragma once

#include <gst/analytics/analytics.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "sightglass/gst/results.h"

namespace sightglass::gst {

// Name of the attribute for a class that another element has written.
inline constexpr std::string_view imported_class = "classification";

struct PixelBox {
  int x, y, w, h;
  bool near(const PixelBox& o) const {
    return std::abs(x - o.x) <= 1 && std::abs(y - o.y) <= 1 && std::abs(w - o.w) <= 1 &&
           std::abs(h - o.h) <= 1;
  }
};

inline PixelBox to_pixels(const Box& box, PixelSize size) {
  // Far outside of the frame is as good as any number that an int can hold.
  const auto round = [](float value) {
    return std::isfinite(value) ? int(std::lround(std::clamp(value, -1e8f, 1e8f))) : 0;
  };
  return {round(box.x * float(size.width)), round(box.y * float(size.height)),
          round(box.w * float(size.width)), round(box.h * float(size.height))};
}

inline Box from_pixels(const PixelBox& box, PixelSize size) {
  const float w = float(size.width), h = float(size.height);
  return {float(box.x) / w, float(box.y) / h, float(box.w) / w, float(box.h) / h};
}

inline Label label_of(GQuark quark) {
  const char* text = quark ? g_quark_to_string(quark) : nullptr;
  return text ? Label::from_static(text) : Label();
}

// Calls `visit` for every entry of `type` that entry `id` points to. Goes through a row of the relation
// matrix: as long as there are entries.
template <class Visit>
void for_related(GstAnalyticsRelationMeta* meta, guint id, GstAnalyticsRelTypes relation,
                 GstAnalyticsMtdType type, Visit visit) {
  gpointer state = nullptr;
  GstAnalyticsMtd mtd;
  while (gst_analytics_relation_meta_get_direct_related(meta, id, relation, type, &state, &mtd)) visit(mtd);
}

template <class Visit>
void for_each(GstAnalyticsRelationMeta* meta, GstAnalyticsMtdType type, Visit visit) {
  gpointer state = nullptr;
  GstAnalyticsMtd mtd;
  while (gst_analytics_relation_meta_iterate(meta, &state, type, &mtd)) visit(mtd);
}

}  // namespace sightglass::gst
