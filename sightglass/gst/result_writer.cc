// Writing results onto buffers.
#include <gst/analytics/analytics.h>
#include <gst/video/video.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "sightglass/gst/attributes_mtd.h"
#include "sightglass/gst/masks_mtd.h"
#include "sightglass/gst/mtd.h"
#include "sightglass/gst/results.h"
#include "sightglass/memory/gst/handles.h"

namespace sightglass::gst {
namespace {

// The relation meta of the buffer, made large enough for what is to come: its relation matrix is quadratic
// and growing it is dear.
GstAnalyticsRelationMeta* ensure_meta(GstBuffer* buffer, size_t new_entries) {
  if (auto* meta = gst_buffer_get_analytics_relation_meta(buffer)) return meta;
  const GstAnalyticsRelationMetaInitParams size = {new_entries + 8, (new_entries + 8) * 80};
  return gst_buffer_add_analytics_relation_meta_full(buffer,
                                                     const_cast<GstAnalyticsRelationMetaInitParams*>(&size));
}

// An object as it lies in the relation meta. GStreamer has no setter, and making all entries anew is dear;
// where its library keeps objects just so, they are changed in place.
struct ObjectEntry {
  GQuark type;
  gint x, y, w, h;
  gfloat angle, confidence;
};

// Whether this GStreamer does: found out with an object whose numbers are all different.
bool has_object_entries() {
  static const bool answer = [] {
    BufferPtr buffer(gst_buffer_new());
    auto* meta = gst_buffer_add_analytics_relation_meta(buffer.get());
    const ObjectEntry expected{g_quark_from_static_string("sg-probe"), 11, 22, 33, 44, 0.5f, 0.25f};
    GstAnalyticsODMtd od;
    return gst_analytics_relation_meta_add_oriented_od_mtd(meta, expected.type, expected.x, expected.y,
                                                           expected.w, expected.h, expected.angle,
                                                           expected.confidence, &od) &&
           gst_analytics_mtd_get_size(reinterpret_cast<GstAnalyticsMtd*>(&od)) == sizeof expected &&
           std::memcmp(gst_analytics_relation_meta_get_mtd_data(meta, od.id), &expected, sizeof expected) ==
               0;
  }();
  return answer;
}

bool looks_different(const Region& now, const Region& was, PixelSize size) {
  return now.angle != was.angle || now.confidence != was.confidence || !(now.label == was.label) ||
         (now.box != was.box && !to_pixels(now.box, size).near(to_pixels(was.box, size)));
}

// Our entry of an object; it stands right behind it where it was written together with it.
bool find_attributes_mtd(GstAnalyticsRelationMeta* meta, guint object, GstAnalyticsMtd& mtd) {
  mtd = {object + 1, meta};
  if (mtd.id < gst_analytics_relation_get_length(meta) &&
      gst_analytics_mtd_get_mtd_type(&mtd) == attributes_mtd_type() &&
      gst_analytics_relation_meta_get_relation(meta, object, mtd.id) & GST_ANALYTICS_REL_TYPE_CONTAIN)
    return true;
  bool found = false;
  for_related(meta, object, GST_ANALYTICS_REL_TYPE_CONTAIN, attributes_mtd_type(),
              [&](const GstAnalyticsMtd& entry) {
                mtd = entry;
                found = true;
              });
  return found;
}

// Where an object that nobody has changed lies, and the rest of what makes it.
PixelBox location_of(const GstAnalyticsMtd& mtd, Region& region) {
  const auto* od = reinterpret_cast<const GstAnalyticsODMtd*>(&mtd);
  PixelBox box{};
  gst_analytics_od_mtd_get_oriented_location(od, &box.x, &box.y, &box.w, &box.h, &region.angle,
                                             &region.confidence);
  region.label = label_of(gst_analytics_od_mtd_get_obj_type(od));
  return box;
}

// New ids by old ones; -1 for what was left out.
using Renumbering = std::vector<int32_t>;

// Copies a relation meta entry by entry into that of another buffer, the objects as they are in `frame`,
// without those in `removed` and what belongs to them: the only way to move, rename or remove an object,
// since upstream has no setter.
Renumbering copy_changed(GstAnalyticsRelationMeta* from, GstAnalyticsRelationMeta* to, PixelSize size,
                         const Frame& frame, std::span<const int32_t> removed, GstBuffer* buffer) {
  const gsize count = gst_analytics_relation_get_length(from);
  Renumbering ids(count, -1);
  const auto left_out = [&](guint id) {
    return std::ranges::any_of(removed, [&](int32_t object) {
      const auto belongs = GST_ANALYTICS_REL_TYPE_CONTAIN | GST_ANALYTICS_REL_TYPE_RELATE_TO;
      return guint(object) == id ||
             gst_analytics_relation_meta_get_relation(from, guint(object), id) & belongs;
    });
  };
  for (guint id = 0; id < count; ++id) {
    GstAnalyticsMtd mtd{id, from}, copy{};
    const auto type = gst_analytics_mtd_get_mtd_type(&mtd);
    const auto region = std::ranges::find(frame.regions, int32_t(id), &Region::id);
    const bool is_object = type == gst_analytics_od_mtd_get_mtd_type();
    const bool kept_child = is_object && region != frame.regions.end();
    if (!kept_child && left_out(id)) continue;
    if (is_object) {
      Region now;
      if (kept_child) now = *region;
      const auto box = kept_child ? to_pixels(now.box, size) : location_of(mtd, now);
      // Looking a quark up takes a lock: only for a new label.
      const GQuark own = gst_analytics_od_mtd_get_obj_type(reinterpret_cast<const GstAnalyticsODMtd*>(&mtd));
      const GQuark type_of_object = label_of(own) == now.label ? own : g_quark_from_string(now.label.c_str());
      gst_analytics_relation_meta_add_oriented_od_mtd(to, type_of_object, box.x, box.y, box.w, box.h,
                                                      now.angle, now.confidence,
                                                      reinterpret_cast<GstAnalyticsODMtd*>(&copy));
    } else {
      // As bytes; the type's hook takes the references that the copy needs, as when a buffer is copied.
      const auto* impl = reinterpret_cast<const GstAnalyticsMtdImpl*>(type);
      const gsize bytes = gst_analytics_mtd_get_size(&mtd);
      auto* data = gst_analytics_relation_meta_add_mtd(to, impl, bytes, &copy);
      std::memcpy(data, gst_analytics_relation_meta_get_mtd_data(from, id), bytes);
      if (impl->mtd_meta_transform) {
        impl->mtd_meta_transform(buffer, &copy, buffer, g_quark_from_static_string("gst-copy"), nullptr);
      }
    }
    ids[id] = int32_t(copy.id);
  }
  for (guint a = 0; a < count; ++a) {
    if (ids[a] < 0) continue;
    for_related(from, a, GST_ANALYTICS_REL_TYPE_ANY, GST_ANALYTICS_MTD_TYPE_ANY,
                [&](const GstAnalyticsMtd& related) {
                  if (ids[related.id] < 0) return;
                  gst_analytics_relation_meta_set_relation(
                      to, gst_analytics_relation_meta_get_relation(from, a, related.id), guint(ids[a]),
                      guint(ids[related.id]));
                });
  }
  return ids;
}

// Replaces the relation meta by one with the objects of `frame`, whose ids follow.
void rebuild(GstBuffer* buffer, PixelSize size, std::span<const int32_t> removed, Frame& frame) {
  auto* old = gst_buffer_get_analytics_relation_meta(buffer);
  BufferPtr carrier(gst_buffer_new());
  const auto ids = copy_changed(old, ensure_meta(carrier.get(), gst_analytics_relation_get_length(old)), size,
                                frame, removed, carrier.get());
  gst_buffer_remove_meta(buffer, gst_buffer_get_meta(buffer, GST_ANALYTICS_RELATION_META_API_TYPE));
  gst_buffer_copy_into(buffer, carrier.get(), GST_BUFFER_COPY_META, 0, size_t(-1));
  for (auto& region : frame.regions) {
    if (region.id >= 0) region.id = ids[size_t(region.id)];
    if (region.parent >= 0) region.parent = ids[size_t(region.parent)];
  }
  for_each(gst_buffer_get_analytics_relation_meta(buffer), attributes_mtd_type(),
           [&](const GstAnalyticsMtd& mtd) {
             auto& parent = attributes_entry(mtd)->parent;
             parent = parent >= 0 && size_t(parent) < ids.size() ? ids[size_t(parent)] : -1;
           });
}

// Of too many objects those that were there already, and of the new ones the most confident.
size_t keep_best(std::vector<Region>& regions) {
  if (regions.size() <= max_objects) return 0;
  const auto first_new =
      std::ranges::stable_partition(regions, [](const Region& region) { return region.id >= 0; }).begin();
  std::stable_sort(first_new, regions.end(),
                   [](const Region& a, const Region& b) { return a.confidence > b.confidence; });
  const size_t kept = std::max(max_objects, size_t(first_new - regions.begin()));
  const size_t excess = regions.size() - kept;
  regions.resize(kept);
  return excess;
}

// The region that had this id; `hint` is where it most likely stands.
const Region* find_id(const std::vector<Region>& regions, int32_t id, size_t hint) {
  if (id < 0) return nullptr;
  if (hint < regions.size() && regions[hint].id == id) return &regions[hint];
  const auto found = std::ranges::find(regions, id, &Region::id);
  return found == regions.end() ? nullptr : &*found;
}

// What a structure may be called: letters first, then also digits and some signs.
std::string structure_name(Label name) {
  std::string text(name.view());
  for (char& c : text)
    if (!g_ascii_isalnum(c) && !std::strchr("/-_.:+", c)) c = '_';
  if (text.empty() || !g_ascii_isalpha(text[0])) text.insert(0, "attribute-");
  return text;
}

}  // namespace

GQuark ResultWriter::quark(std::string_view text) {
  if (const auto known = quarks_.find(text); known != quarks_.end()) return known->second;
  std::string added(text);
  const GQuark id = g_quark_from_string(added.c_str());
  return quarks_.emplace(std::move(added), id).first->second;
}

// Classes and masks in upstream's own form, those that the list did not have before.
void ResultWriter::add_entries(GstAnalyticsRelationMeta* meta, PixelSize size, const AttributesRef& list,
                               const AttributesRef& before, int32_t owner) {
  if (!list) return;
  for (const auto& item : list->items()) {
    if (item.kind == AttributeKind::mask) {
      const auto* had = before ? before->find(item.name.view()) : nullptr;
      if (had && had->tensor.memory == item.tensor.memory && had->values == item.values) continue;
      add_mask_mtd(meta, item, size, owner, [this](std::string_view text) { return quark(text); });
      continue;
    }
    if (item.kind != AttributeKind::classification || item.name.view() == imported_class) continue;
    const auto* had = before ? before->find(item.name.view()) : nullptr;
    if (had && had->text == item.text && had->confidence == item.confidence) continue;
    GstAnalyticsClsMtd cls;
    gst_analytics_relation_meta_add_one_cls_mtd(meta, item.confidence, quark(item.text), &cls);
    if (owner >= 0)
      gst_analytics_relation_meta_set_relation(meta, GST_ANALYTICS_REL_TYPE_CONTAIN, guint(owner), cls.id);
  }
}

int32_t ResultWriter::numbered(int32_t foreign) const {
  const auto found = std::ranges::find(foreign_, foreign, &std::pair<int32_t, int32_t>::first);
  return found == foreign_.end() ? -1 : found->second;
}

GstClockTime ResultWriter::first_seen(int64_t track, GstClockTime now) {
  // Ids only grow, so that the smallest are those of tracks long gone.
  if (first_seen_.size() > most_tracks) first_seen_.erase(first_seen_.begin());
  return first_seen_.try_emplace(track, now).first->second;
}

void ResultWriter::write(GstBuffer* buffer, PixelSize size, const std::vector<Region>& before,
                         const AttributesRef& attributes_before, Frame& after) {
  dropped_ += keep_best(after.regions);

  matches_.clear();
  removed_.clear();
  bool changed = after.attributes != attributes_before, moved = false;
  for (size_t i = 0; i < after.regions.size(); ++i) {
    const Region& now = after.regions[i];
    const Region* was = find_id(before, now.id, i);
    const bool same = was && now == *was;
    matches_.push_back({was, same});
    changed |= !same;
    if (!was || same) continue;
    moved |= looks_different(now, *was, size);
  }
  for (size_t i = 0; i < before.size(); ++i) {
    if (before[i].id >= 0 && !find_id(after.regions, before[i].id, i)) removed_.push_back(before[i].id);
  }
  if (!changed && removed_.empty()) return;
  size_t attribute_count = 4;
  for (const auto& region : after.regions)
    attribute_count += 3 + (region.attributes ? region.attributes->items().size() : 0);
  auto* meta = ensure_meta(buffer, attribute_count);
  if ((moved && !has_object_entries()) || !removed_.empty()) {
    rebuild(buffer, size, removed_, after);
    meta = gst_buffer_get_analytics_relation_meta(buffer);
  }

  foreign_.clear();
  for (size_t i = 0; i < after.regions.size(); ++i) {
    Region& now = after.regions[i];
    const auto [was, same] = matches_[i];
    if (same) continue;
    const bool is_new = now.id < 0;
    if (is_new) {
      GstAnalyticsODMtd od;
      const auto box = to_pixels(now.box, size);
      if (!gst_analytics_relation_meta_add_oriented_od_mtd(meta, quark(now.label.view()), box.x, box.y, box.w,
                                                           box.h, now.angle, now.confidence, &od)) {
        ++dropped_;
        continue;
      }
      if (now.id <= first_foreign_id) foreign_.emplace_back(now.id, int32_t(od.id));
      now.id = int32_t(od.id);
      if (now.parent <= first_foreign_id) now.parent = numbered(now.parent);
      if (now.parent >= 0) {
        gst_analytics_relation_meta_set_relation(meta, GST_ANALYTICS_REL_TYPE_CONTAIN, guint(now.parent),
                                                 od.id);
        gst_analytics_relation_meta_set_relation(meta, GST_ANALYTICS_REL_TYPE_IS_PART_OF, od.id,
                                                 guint(now.parent));
      }
    }
    if (was && has_object_entries() && looks_different(now, *was, size)) {
      auto* object = static_cast<ObjectEntry*>(gst_analytics_relation_meta_get_mtd_data(meta, guint(now.id)));
      const auto box = to_pixels(now.box, size);
      if (!(now.label == was->label)) object->type = quark(now.label.view());
      object->x = box.x, object->y = box.y, object->w = box.w, object->h = box.h;
      object->angle = now.angle, object->confidence = now.confidence;
    }
    GstAnalyticsMtd mtd{};
    if (is_new || !find_attributes_mtd(meta, guint(now.id), mtd)) {
      if (!add_attributes_mtd(meta, &mtd)) continue;
      gst_analytics_relation_meta_set_relation(meta, GST_ANALYTICS_REL_TYPE_CONTAIN, guint(now.id), mtd.id);
    }
    auto& entry = *attributes_entry(mtd);
    entry.model = now.model.c_str();
    entry.parent = now.parent;
    entry.box = now.box;
    entry.label_id = now.label_id;
    entry.is_detection = true;
    if (entry.list != now.attributes.get()) set_attributes(entry, now.attributes);
    add_entries(meta, size, now.attributes, was ? was->attributes : nullptr, now.id);
    if (now.track > 0 && (!was || is_new || was->track != now.track)) {
      GstAnalyticsTrackingMtd tracking;
      const GstClockTime seen = to_clock_time(after.pts);
      if (gst_analytics_relation_meta_add_tracking_mtd(meta, guint64(now.track), first_seen(now.track, seen),
                                                       &tracking)) {
        gst_analytics_tracking_mtd_update_last_seen(&tracking, seen);
        gst_analytics_relation_meta_set_relation(meta, GST_ANALYTICS_REL_TYPE_RELATE_TO, guint(now.id),
                                                 tracking.id);
      }
    }
  }

  if (after.attributes != attributes_before) {
    GstAnalyticsMtd mtd{};
    bool found = false;  // that of the frame; there is one at most
    for_each(meta, attributes_mtd_type(), [&](const GstAnalyticsMtd& entry) {
      if (found || attributes_entry(entry)->is_detection) return;
      mtd = entry;
      found = true;
    });
    if (!found) found = add_attributes_mtd(meta, &mtd);
    if (found) set_attributes(*attributes_entry(mtd), after.attributes);
    add_entries(meta, size, after.attributes, attributes_before, -1);
  }
}

void ResultWriter::write_roi(GstBuffer* buffer, PixelSize size, const std::vector<Region>& regions) {
  for (const auto& region : regions) {
    const auto box = to_pixels(region.box, size);
    if (auto* old = gst_buffer_get_video_region_of_interest_meta_id(buffer, region.id))
      gst_buffer_remove_meta(buffer, &old->meta);
    auto* roi = gst_buffer_add_video_region_of_interest_meta_id(
        buffer, quark(region.label.view()), guint(std::max(box.x, 0)), guint(std::max(box.y, 0)),
        guint(std::max(box.w, 0)), guint(std::max(box.h, 0)));
    roi->id = region.id;
    roi->parent_id = region.parent;
    gst_video_region_of_interest_meta_add_param(
        roi,
        gst_structure_new("detection", "x_min", G_TYPE_DOUBLE, double(region.box.x), "y_min", G_TYPE_DOUBLE,
                          double(region.box.y), "x_max", G_TYPE_DOUBLE, double(region.box.right()), "y_max",
                          G_TYPE_DOUBLE, double(region.box.bottom()), "confidence", G_TYPE_DOUBLE,
                          double(region.confidence), "label_id", G_TYPE_INT, region.label_id, nullptr));
    if (region.track > 0) {
      gst_video_region_of_interest_meta_add_param(
          roi, gst_structure_new("object_id", "id", G_TYPE_INT, int(region.track), nullptr));
    }
    if (!region.attributes) continue;
    for (const auto& item : region.attributes->items()) {
      if (item.kind != AttributeKind::classification && item.kind != AttributeKind::text) continue;
      gst_video_region_of_interest_meta_add_param(
          roi, gst_structure_new(structure_name(item.name).c_str(), "label", G_TYPE_STRING, item.text.c_str(),
                                 "label_id", G_TYPE_INT, item.label_id, "confidence", G_TYPE_DOUBLE,
                                 double(item.confidence), "attribute_name", G_TYPE_STRING, item.name.c_str(),
                                 "model_name", G_TYPE_STRING, item.model.c_str(), nullptr));
    }
  }
}

}  // namespace sightglass::gst
