#include "sightglass/gst/caps_relax.h"

#include <utility>

namespace sightglass::gst {
namespace {

bool has_fixed_size(const GstStructure* structure) {
  for (const char* side : {"width", "height"}) {
    const GValue* value = gst_structure_get_value(structure, side);
    if (value && gst_value_is_fixed(value)) return true;
  }
  return false;
}

}  // namespace

CapsPtr relaxed(const GstCaps* caps) {
  if (gst_caps_is_any(caps) || gst_caps_is_empty(caps)) return CapsPtr(gst_caps_copy(caps));
  const guint count = gst_caps_get_size(caps);
  GstCaps* result = gst_caps_new_empty();
  for (guint i = 0; i < count; ++i) {
    const auto* features = gst_caps_get_features(caps, i);
    auto* structure = gst_structure_copy(gst_caps_get_structure(caps, i));
    if (has_fixed_size(structure)) {
      auto* open = gst_structure_copy(structure);
      gst_structure_remove_fields(open, "width", "height", nullptr);
      bool alternative = false;
      for (guint k = 0; k < count && !alternative; ++k) {
        auto* other = gst_structure_copy(gst_caps_get_structure(caps, k));
        alternative =
            !has_fixed_size(other) && gst_caps_features_is_equal(gst_caps_get_features(caps, k), features);
        gst_structure_remove_fields(other, "width", "height", nullptr);
        alternative = alternative && gst_structure_is_subset(open, other);
        gst_structure_free(other);
      }
      if (alternative) std::swap(structure, open);
      gst_structure_free(open);
    }
    result = gst_caps_merge_structure_full(result, structure, gst_caps_features_copy(features));
  }
  return CapsPtr(result);
}

gboolean relaxing_query(GstBaseTransform* self, GstPadDirection direction, GstQuery* query) {
  auto* base = GST_BASE_TRANSFORM_CLASS(g_type_class_peek(GST_TYPE_BASE_TRANSFORM));
  if (!base->query(self, direction, query)) return FALSE;
  if (GST_QUERY_TYPE(query) != GST_QUERY_CAPS || direction != GST_PAD_SINK) return TRUE;
  GstCaps *answer = nullptr, *filter = nullptr;
  gst_query_parse_caps_result(query, &answer);
  gst_query_parse_caps(query, &filter);
  CapsPtr seen = relaxed(answer);
  if (filter) seen.reset(gst_caps_intersect_full(filter, seen.get(), GST_CAPS_INTERSECT_FIRST));
  gst_query_set_caps_result(query, seen.get());
  return TRUE;
}

}  // namespace sightglass::gst
