#include "sightglass/gst/results.h"

#include <gst/analytics/analytics.h>
#include <gst/video/video.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <span>

#include "sightglass/gst/attributes_mtd.h"
#include "sightglass/memory/gst/handles.h"

namespace sightglass::gst {
namespace {

constexpr auto any_relation = GST_ANALYTICS_REL_TYPE_ANY;
constexpr std::string_view imported_class =
    "classification";  // name of the attribute for a class that another element has written

struct PixelBox {
  int x, y, w, h;
  bool near(const PixelBox& o) const {
    return std::abs(x - o.x) <= 1 && std::abs(y - o.y) <= 1 && std::abs(w - o.w) <= 1 &&
           std::abs(h - o.h) <= 1;
  }
};

PixelBox to_pixels(const Box& box, PixelSize size) {
  const auto round = [](float value) { return int(std::lround(value)); };
  return {round(box.x * float(size.width)), round(box.y * float(size.height)),
          round(box.w * float(size.width)), round(box.h * float(size.height))};
}

Box from_pixels(const PixelBox& box, PixelSize size) {
  const float w = float(size.width), h = float(size.height);
  return {float(box.x) / w, float(box.y) / h, float(box.w) / w, float(box.h) / h};
}

// Calls `visit` for every entry of `type` that entry `id` points to.
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

Label label_of(GQuark quark) {
  const char* text = quark ? g_quark_to_string(quark) : nullptr;
  return text ? Label::from_static(text) : Label();
}

// A class that another element has written; ours are in the list already.
void import_class(const GstAnalyticsMtd& mtd, AttributesRef& list) {
  const auto* cls = reinterpret_cast<const GstAnalyticsClsMtd*>(&mtd);
  const gsize count = gst_analytics_cls_mtd_get_length(cls);
  gsize best = 0;
  for (gsize i = 1; i < count; ++i) {
    if (gst_analytics_cls_mtd_get_level(cls, i) > gst_analytics_cls_mtd_get_level(cls, best)) best = i;
  }
  if (count == 0) return;
  const Label text = label_of(gst_analytics_cls_mtd_get_quark(cls, best));
  const float level = gst_analytics_cls_mtd_get_level(cls, best);
  if (list) {
    for (const auto& known : list->items()) {
      if (known.kind == AttributeKind::classification && known.text == text.view() &&
          known.confidence == level)
        return;
    }
  }
  static const Label name(imported_class);
  list = with(list, {.name = name,
                     .kind = AttributeKind::classification,
                     .text = std::string(text.view()),
                     .confidence = level});
}

Region read_region(GstAnalyticsRelationMeta* meta, const GstAnalyticsMtd& mtd, PixelSize size) {
  const auto* od = reinterpret_cast<const GstAnalyticsODMtd*>(&mtd);
  Region region;
  PixelBox pixels{};
  gfloat angle = 0, confidence = 0;
  gst_analytics_od_mtd_get_oriented_location(od, &pixels.x, &pixels.y, &pixels.w, &pixels.h, &angle,
                                             &confidence);
  region.id = int32_t(mtd.id);
  region.angle = angle;
  region.confidence = confidence;
  region.label = label_of(gst_analytics_od_mtd_get_obj_type(od));
  region.box = from_pixels(pixels, size);
  for_related(meta, mtd.id, GST_ANALYTICS_REL_TYPE_CONTAIN, attributes_mtd_type(),
              [&](const GstAnalyticsMtd& related) {
                const auto& entry = *attributes_entry(related);
                region.attributes = AttributesRef(entry.list);
                if (!entry.is_detection) return;
                if (to_pixels(entry.box, size).near(pixels)) region.box = entry.box;
                region.label_id = entry.label_id;
                region.model = Label::from_static(entry.model);
              });
  for_related(meta, mtd.id, any_relation, gst_analytics_tracking_mtd_get_mtd_type(),
              [&](const GstAnalyticsMtd& related) {
                guint64 id = 0;
                GstClockTime first = 0, last = 0;
                gboolean lost = FALSE;
                const auto* tracking = reinterpret_cast<const GstAnalyticsTrackingMtd*>(&related);
                if (gst_analytics_tracking_mtd_get_info(tracking, &id, &first, &last, &lost) && !lost)
                  region.track = int64_t(id);
              });
  for_related(meta, mtd.id, GST_ANALYTICS_REL_TYPE_CONTAIN, gst_analytics_cls_mtd_get_mtd_type(),
              [&](const GstAnalyticsMtd& related) { import_class(related, region.attributes); });
  for_related(meta, mtd.id, GST_ANALYTICS_REL_TYPE_IS_PART_OF, gst_analytics_od_mtd_get_mtd_type(),
              [&](const GstAnalyticsMtd& parent) { region.parent = int32_t(parent.id); });
  return region;
}

// Frame-level entries: those that no object contains.
void read_frame_attributes(GstAnalyticsRelationMeta* meta, Frame& frame) {
  const auto owned = [&](guint id) {
    return std::ranges::any_of(frame.regions, [&](const Region& region) {
      return gst_analytics_relation_meta_get_relation(meta, guint(region.id), id) &
             GST_ANALYTICS_REL_TYPE_CONTAIN;
    });
  };
  for_each(meta, attributes_mtd_type(), [&](const GstAnalyticsMtd& mtd) {
    if (!attributes_entry(mtd)->is_detection && !owned(mtd.id))
      frame.attributes = AttributesRef(attributes_entry(mtd)->list);
  });
  for_each(meta, gst_analytics_cls_mtd_get_mtd_type(), [&](const GstAnalyticsMtd& mtd) {
    if (!owned(mtd.id)) import_class(mtd, frame.attributes);
  });
}

void import_roi(const GstVideoRegionOfInterestMeta& roi, PixelSize size, Frame& frame) {
  const PixelBox pixels{int(roi.x), int(roi.y), int(roi.w), int(roi.h)};
  const Label label = label_of(roi.roi_type);
  const bool known = std::ranges::any_of(frame.regions, [&](const Region& region) {
    return region.label == label && to_pixels(region.box, size).near(pixels);
  });
  if (known) return;
  Region region{.id = -1, .box = from_pixels(pixels, size), .confidence = 1, .label = label};
  for (GList* param = roi.params; param; param = param->next) {
    const auto* structure = static_cast<const GstStructure*>(param->data);
    if (gst_structure_has_name(structure, "detection")) {
      double confidence = 1, x0, y0, x1, y1;
      gst_structure_get_double(structure, "confidence", &confidence);
      gst_structure_get_int(structure, "label_id", &region.label_id);
      region.confidence = float(confidence);
      if (gst_structure_get(structure, "x_min", G_TYPE_DOUBLE, &x0, "y_min", G_TYPE_DOUBLE, &y0, "x_max",
                            G_TYPE_DOUBLE, &x1, "y_max", G_TYPE_DOUBLE, &y1, nullptr)) {
        region.box = {float(x0), float(y0), float(x1 - x0), float(y1 - y0)};
      }
    } else if (gst_structure_has_name(structure, "object_id")) {
      int id = 0;
      if (gst_structure_get_int(structure, "id", &id)) region.track = id;
    }
  }
  frame.regions.push_back(std::move(region));
}

// The relation meta of the buffer, made large enough for what is to come: its relation matrix is quadratic
// and growing it is dear.
GstAnalyticsRelationMeta* ensure_meta(GstBuffer* buffer, size_t new_entries) {
  if (auto* meta = gst_buffer_get_analytics_relation_meta(buffer)) return meta;
  const GstAnalyticsRelationMetaInitParams size = {new_entries + 8, (new_entries + 8) * 80};
  return gst_buffer_add_analytics_relation_meta_full(buffer,
                                                     const_cast<GstAnalyticsRelationMetaInitParams*>(&size));
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
      const Region now = kept_child ? *region : read_region(from, mtd, size);
      const auto box = to_pixels(now.box, size);
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
    for (guint b = 0; b < count; ++b) {
      const auto relation = gst_analytics_relation_meta_get_relation(from, a, b);
      if (relation != GST_ANALYTICS_REL_TYPE_NONE && ids[a] >= 0 && ids[b] >= 0)
        gst_analytics_relation_meta_set_relation(to, relation, guint(ids[a]), guint(ids[b]));
    }
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

}  // namespace

void read_results(GstBuffer* buffer, PixelSize size, Frame& frame) {
  if (auto* meta = gst_buffer_get_analytics_relation_meta(buffer)) {
    for_each(meta, gst_analytics_od_mtd_get_mtd_type(),
             [&](const GstAnalyticsMtd& mtd) { frame.regions.push_back(read_region(meta, mtd, size)); });
    read_frame_attributes(meta, frame);
  }
  gpointer state = nullptr;
  while (auto* meta =
             gst_buffer_iterate_meta_filtered(buffer, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE)) {
    import_roi(*reinterpret_cast<GstVideoRegionOfInterestMeta*>(meta), size, frame);
  }
}

GQuark ResultWriter::quark(std::string_view text) {
  if (const auto known = quarks_.find(text); known != quarks_.end()) return known->second;
  std::string added(text);
  const GQuark id = g_quark_from_string(added.c_str());
  return quarks_.emplace(std::move(added), id).first->second;
}

// Classes in upstream's own form, for those that the list did not have before.
void ResultWriter::add_classes(GstAnalyticsRelationMeta* meta, const AttributesRef& list,
                               const AttributesRef& before, int32_t owner) {
  if (!list) return;
  for (const auto& item : list->items()) {
    if (item.kind != AttributeKind::classification || item.name.view() == imported_class) continue;
    const auto* had = before ? before->find(item.name.view()) : nullptr;
    if (had && had->text == item.text && had->confidence == item.confidence) continue;
    GstAnalyticsClsMtd cls;
    gst_analytics_relation_meta_add_one_cls_mtd(meta, item.confidence, quark(item.text), &cls);
    if (owner >= 0)
      gst_analytics_relation_meta_set_relation(meta, GST_ANALYTICS_REL_TYPE_CONTAIN, guint(owner), cls.id);
  }
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
    moved |= now.angle != was->angle || now.confidence != was->confidence || !(now.label == was->label) ||
             (now.box != was->box && !to_pixels(now.box, size).near(to_pixels(was->box, size)));
  }
  for (size_t i = 0; i < before.size(); ++i) {
    if (before[i].id >= 0 && !find_id(after.regions, before[i].id, i)) removed_.push_back(before[i].id);
  }
  if (!changed && removed_.empty()) return;
  size_t attribute_count = 4;
  for (const auto& region : after.regions)
    attribute_count += 3 + (region.attributes ? region.attributes->items().size() : 0);
  auto* meta = ensure_meta(buffer, attribute_count);
  if (moved || !removed_.empty()) {
    rebuild(buffer, size, removed_, after);
    meta = gst_buffer_get_analytics_relation_meta(buffer);
  }

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
      now.id = int32_t(od.id);
      if (now.parent >= 0) {
        gst_analytics_relation_meta_set_relation(meta, GST_ANALYTICS_REL_TYPE_CONTAIN, guint(now.parent),
                                                 od.id);
        gst_analytics_relation_meta_set_relation(meta, GST_ANALYTICS_REL_TYPE_IS_PART_OF, od.id,
                                                 guint(now.parent));
      }
    }
    GstAnalyticsMtd mtd{};
    bool found = false;
    if (!is_new) {
      for_related(meta, guint(now.id), GST_ANALYTICS_REL_TYPE_CONTAIN, attributes_mtd_type(),
                  [&](const GstAnalyticsMtd& entry) {
                    mtd = entry;
                    found = true;
                  });
    }
    if (!found && add_attributes_mtd(meta, &mtd)) {
      gst_analytics_relation_meta_set_relation(meta, GST_ANALYTICS_REL_TYPE_CONTAIN, guint(now.id), mtd.id);
    }
    auto& entry = *attributes_entry(mtd);
    entry.model = now.model.c_str();
    entry.box = now.box;
    entry.label_id = now.label_id;
    entry.is_detection = true;
    if (entry.list != now.attributes.get()) set_attributes(entry, now.attributes);
    add_classes(meta, now.attributes, was ? was->attributes : nullptr, now.id);
    if (now.track > 0 && (!was || is_new || was->track != now.track)) {
      GstAnalyticsTrackingMtd tracking;
      const GstClockTime seen = to_clock_time(after.pts);
      if (gst_analytics_relation_meta_add_tracking_mtd(meta, guint64(now.track), seen, &tracking)) {
        gst_analytics_relation_meta_set_relation(meta, GST_ANALYTICS_REL_TYPE_RELATE_TO, guint(now.id),
                                                 tracking.id);
      }
    }
  }

  if (after.attributes != attributes_before) {
    GstAnalyticsMtd mtd{};
    bool found = false;
    if (attributes_before) {
      for_each(meta, attributes_mtd_type(), [&](const GstAnalyticsMtd& entry) {
        if (attributes_entry(entry)->list != attributes_before.get() || attributes_entry(entry)->is_detection)
          return;
        mtd = entry;
        found = true;
      });
    }
    if (!found) found = add_attributes_mtd(meta, &mtd);
    if (found) set_attributes(*attributes_entry(mtd), after.attributes);
    add_classes(meta, after.attributes, attributes_before, -1);
  }
}

void ResultWriter::write_roi(GstBuffer* buffer, PixelSize size, const std::vector<Region>& regions) {
  for (const auto& region : regions) {
    const auto box = to_pixels(region.box, size);
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
  }
}

}  // namespace sightglass::gst
