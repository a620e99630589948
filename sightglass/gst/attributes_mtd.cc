#include "sightglass/gst/attributes_mtd.h"

namespace sightglass::gst {
namespace {

AttributesEntry* entry_of(GstAnalyticsMtd* mtd) {
  return static_cast<AttributesEntry*>(gst_analytics_relation_meta_get_mtd_data(mtd->meta, mtd->id));
}

// The bytes have been copied, also by scaling; the copy needs a reference of its own.
gboolean after_copy(GstBuffer*, GstAnalyticsMtd* copy, GstBuffer*, GQuark, gpointer) {
  if (auto* list = entry_of(copy)->list) list->ref();
  return TRUE;
}

// The buffer dies, goes back to its pool, or loses the meta.
void before_end(GstBuffer*, GstAnalyticsMtd* mtd) { set_attributes(*entry_of(mtd), nullptr); }

const GstAnalyticsMtdImpl impl = {"sg-attributes", after_copy, before_end, {}};

}  // namespace

GstAnalyticsMtdType attributes_mtd_type() { return reinterpret_cast<GstAnalyticsMtdType>(&impl); }

bool add_attributes_mtd(GstAnalyticsRelationMeta* meta, GstAnalyticsMtd* mtd) {
  auto* data = gst_analytics_relation_meta_add_mtd(meta, &impl, sizeof(AttributesEntry), mtd);
  if (data) *static_cast<AttributesEntry*>(data) = {nullptr, "", {}, -1, -1, false};
  return data != nullptr;
}

AttributesEntry* attributes_entry(const GstAnalyticsMtd& mtd) {
  return static_cast<AttributesEntry*>(gst_analytics_relation_meta_get_mtd_data(mtd.meta, mtd.id));
}

void set_attributes(AttributesEntry& entry, const AttributesRef& list) {
  if (list) list->ref();
  if (entry.list) entry.list->unref();
  entry.list = list.get();
}

}  // namespace sightglass::gst
