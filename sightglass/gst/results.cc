#include "sightglass/gst/results.h"

#include <gst/analytics/analytics.h>
#include <gst/video/video.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "sightglass/gst/attributes_mtd.h"
#include "sightglass/gst/masks_mtd.h"
#include "sightglass/gst/mtd.h"
#include "sightglass/gst/tensor_meta.h"

namespace sightglass::gst {
namespace {

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

// A mask that another element has written.
void import_mask(const GstAnalyticsMtd& mtd, PixelSize size, bool of_object, AttributesRef& list) {
  const bool known = list && std::ranges::any_of(list->items(), [](const Attribute& item) {
                       return item.kind == AttributeKind::mask;
                     });
  if (known) return;
  if (auto mask = read_mask_mtd(mtd, size, of_object)) list = with(list, *std::move(mask));
}

// Reads the entries of one relation meta. Entries that belong to an object follow it closely where we have
// written them, which is looked at first: going through the rows of the relation matrix, as for_related()
// does, is quadratic in the number of entries.
class Reader {
 public:
  Reader(GstAnalyticsRelationMeta* meta, PixelSize size, Frame& frame)
      : meta_(meta), size_(size), frame_(frame), marks_(marks()) {
    marks_.assign(gst_analytics_relation_get_length(meta), Mark::none);
  }

  void read() {
    for_each(meta_, gst_analytics_od_mtd_get_mtd_type(),
             [&](const GstAnalyticsMtd& mtd) { frame_.regions.push_back(read_object(mtd)); });
    for_each(meta_, attributes_mtd_type(), [&](const GstAnalyticsMtd& mtd) {
      if (Region* owner = find_owner(mtd.id, GST_ANALYTICS_REL_TYPE_CONTAIN))
        take(*attributes_entry(mtd), *owner);
      else if (!attributes_entry(mtd)->is_detection)
        frame_.attributes = AttributesRef(attributes_entry(mtd)->list);
    });
    for_each(meta_, gst_analytics_tracking_mtd_get_mtd_type(), [&](const GstAnalyticsMtd& mtd) {
      guint64 id = 0;
      GstClockTime first = 0, last = 0;
      gboolean lost = FALSE;
      const auto* tracking = reinterpret_cast<const GstAnalyticsTrackingMtd*>(&mtd);
      if (!gst_analytics_tracking_mtd_get_info(tracking, &id, &first, &last, &lost) || lost) return;
      if (Region* owner = find_owner(mtd.id, GST_ANALYTICS_REL_TYPE_ANY)) owner->track = int64_t(id);
    });
    for_each(meta_, gst_analytics_segmentation_mtd_get_mtd_type(), [&](const GstAnalyticsMtd& mtd) {
      Region* owner = find_owner(mtd.id, GST_ANALYTICS_REL_TYPE_CONTAIN);
      import_mask(mtd, size_, owner, owner ? owner->attributes : frame_.attributes);
      // Classes that say what the regions of a mask are, are none of the frame.
      for_related(meta_, mtd.id, GST_ANALYTICS_REL_TYPE_ANY, gst_analytics_cls_mtd_get_mtd_type(),
                  [&](const GstAnalyticsMtd& names) { marks_[names.id] = Mark::of_mask; });
    });
    for_each(meta_, gst_analytics_cls_mtd_get_mtd_type(), [&](const GstAnalyticsMtd& mtd) {
      if (marks_[mtd.id] == Mark::of_mask) return;
      Region* owner = find_owner(mtd.id, GST_ANALYTICS_REL_TYPE_CONTAIN);
      import_class(mtd, owner ? owner->attributes : frame_.attributes);
    });
    for (size_t i = 0; i < frame_.regions.size(); ++i) find_parent(frame_.regions[i]);
  }

 private:
  enum class Mark : uint8_t { none, of_mask, of_us };

  // Kept for its capacity.
  static std::vector<Mark>& marks() {
    thread_local std::vector<Mark> list;
    return list;
  }

  Region read_object(const GstAnalyticsMtd& mtd) const {
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
    region.box = from_pixels(pixels, size_);
    return region;
  }

  bool is_related(guint object, guint entry, GstAnalyticsRelTypes relation) const {
    return gst_analytics_relation_meta_get_relation(meta_, object, entry) & relation;
  }

  // The object that points to an entry; null: none.
  Region* find_owner(guint entry, GstAnalyticsRelTypes relation) {
    auto& regions = frame_.regions;
    const auto is_owner = [&](const Region& region) { return is_related(guint(region.id), entry, relation); };
    // Most likely the last object in front of it, or the one behind the owner of the entry before.
    const auto behind = std::ranges::upper_bound(regions, int32_t(entry), {}, &Region::id);
    auto found = behind == regions.begin() ? regions.end() : std::prev(behind);
    if (found == regions.end() || !is_owner(*found)) {
      found = next_ < regions.size() ? regions.begin() + ptrdiff_t(next_) : regions.end();
      if (found == regions.end() || !is_owner(*found)) found = std::ranges::find_if(regions, is_owner);
    }
    if (found == regions.end()) return nullptr;
    next_ = size_t(found - regions.begin()) + 1;
    return &*found;
  }

  void take(const AttributesEntry& entry, Region& region) {
    region.attributes = AttributesRef(entry.list);
    if (!entry.is_detection) return;
    if (to_pixels(entry.box, size_).near(to_pixels(region.box, size_))) region.box = entry.box;
    region.label_id = entry.label_id;
    region.model = Label::from_static(entry.model);
    region.parent = entry.parent;
    marks_[size_t(region.id)] = Mark::of_us;
  }

  void find_parent(Region& region) {
    const bool known = marks_[size_t(region.id)] == Mark::of_us;
    const auto is_parent = [&](int32_t id) {
      return id >= 0 && size_t(id) < marks_.size() &&
             is_related(guint(region.id), guint(id), GST_ANALYTICS_REL_TYPE_IS_PART_OF);
    };
    if (known && (region.parent < 0 || is_parent(region.parent))) return;
    region.parent = -1;
    for_related(meta_, guint(region.id), GST_ANALYTICS_REL_TYPE_IS_PART_OF,
                gst_analytics_od_mtd_get_mtd_type(),
                [&](const GstAnalyticsMtd& parent) { region.parent = int32_t(parent.id); });
  }

  GstAnalyticsRelationMeta* meta_;
  PixelSize size_;
  Frame& frame_;
  std::vector<Mark>& marks_;  // of entries, by id
  size_t next_ = 0;           // place of the object whose turn it is where entries come in their order
};

// Of older elements, whose objects are compared with all that are there.
constexpr size_t most_objects_read = 2 * max_objects;

// What older elements have added to an object: a structure for each result of a model.
void import_param(const GstStructure& param, AttributesRef& list) {
  const char* text = gst_structure_get_string(&param, "label");
  if (!text) text = gst_structure_get_string(&param, "value");
  if (!text) return;
  Attribute attribute{.name = label_of(gst_structure_get_name_id(&param)),
                      .kind = AttributeKind::classification,
                      .text = text};
  // The original calls its structures after the layer, and says the name in a field.
  if (const char* name = gst_structure_get_string(&param, "attribute_name"); name && *name)
    attribute.name = label_of(g_quark_from_string(name));
  if (const char* model = gst_structure_get_string(&param, "model_name"); model && *model)
    attribute.model = label_of(g_quark_from_string(model));
  double confidence = 0;
  if (gst_structure_get_double(&param, "confidence", &confidence)) attribute.confidence = float(confidence);
  gst_structure_get_int(&param, "label_id", &attribute.label_id);
  if (list && list->find(attribute.name.view())) return;
  list = with(list, std::move(attribute));
}

void import_roi(const GstVideoRegionOfInterestMeta& roi, PixelSize size, Frame& frame) {
  const PixelBox pixels{int(roi.x), int(roi.y), int(roi.w), int(roi.h)};
  const Label label = label_of(roi.roi_type);
  const bool known = std::ranges::any_of(frame.regions, [&](const Region& region) {
    return region.label == label && to_pixels(region.box, size).near(pixels);
  });
  if (known) return;
  if (frame.regions.size() >= most_objects_read) return;
  Region region{.id = first_foreign_id - int32_t(frame.regions.size()),
                .box = from_pixels(pixels, size),
                .confidence = 1,
                .label = label};
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
    } else {
      import_param(*structure, region.attributes);
    }
  }
  frame.regions.push_back(std::move(region));
}

}  // namespace

void read_results(GstBuffer* buffer, PixelSize size, Frame& frame) {
  if (auto* meta = gst_buffer_get_analytics_relation_meta(buffer)) {
    Reader(meta, size, frame).read();
  }
  gpointer state = nullptr;
  while (auto* meta =
             gst_buffer_iterate_meta_filtered(buffer, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE)) {
    import_roi(*reinterpret_cast<GstVideoRegionOfInterestMeta*>(meta), size, frame);
  }
  read_tensor_metas(buffer, frame);
}

}  // namespace sightglass::gst
