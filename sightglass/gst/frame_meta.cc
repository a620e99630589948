#include "sightglass/gst/frame_meta.h"

#include <gst/video/video.h>

#include <array>

#include "sightglass/memory/gst/handles.h"

namespace sightglass::gst {
namespace {

constexpr const char* source_name = "SourceIdentifierMetadata";
constexpr const char* affine_name = "AffineTransformMetadata";
constexpr const char* json_name = "sg-json";

// Marks the last region of a frame, as in the original.
constexpr auto flag_last_roi = GstBufferFlags(GST_BUFFER_FLAG_LAST << 1);

// The structure of a custom meta of the buffer, added where it is missing.
GstStructure* ensure(GstBuffer* buffer, const char* name) {
  auto* meta = gst_buffer_get_custom_meta(buffer, name);
  if (!meta) meta = gst_buffer_add_custom_meta(buffer, name);
  return gst_custom_meta_get_structure(meta);
}

const GstStructure* find(GstBuffer* buffer, const char* name) {
  auto* meta = gst_buffer_get_custom_meta(buffer, name);
  return meta ? gst_custom_meta_get_structure(meta) : nullptr;
}

void write_source(const SourceId& source, GstStructure* structure) {
  gst_structure_set(structure, "batch_index", G_TYPE_INT, source.batch_index, "pts", G_TYPE_UINT64,
                    guint64(to_clock_time(source.pts)), "stream_id", G_TYPE_UINT64, guint64(source.stream),
                    "object_id", G_TYPE_INT64, gint64(source.object), "last_roi", G_TYPE_BOOLEAN,
                    gboolean(source.last_roi), nullptr);
  if (source.roi) {
    gst_structure_set(structure, "roi_id", G_TYPE_UINT, *source.roi, nullptr);
  } else {
    gst_structure_remove_field(structure, "roi_id");
  }
}

SourceId read_source(const GstStructure* structure) {
  SourceId source;
  guint64 pts = GST_CLOCK_TIME_NONE, stream = 0;
  gint64 object = 0;
  gboolean last = FALSE;
  guint roi = 0;
  gst_structure_get_int(structure, "batch_index", &source.batch_index);
  gst_structure_get_uint64(structure, "pts", &pts);
  gst_structure_get_uint64(structure, "stream_id", &stream);
  gst_structure_get_int64(structure, "object_id", &object);
  gst_structure_get_boolean(structure, "last_roi", &last);
  if (gst_structure_get_uint(structure, "roi_id", &roi)) source.roi = roi;
  source.pts = from_clock_time(pts);
  source.stream = stream;
  source.object = object;
  source.last_roi = last;
  return source;
}

void write_affine(const Affine& affine, GstStructure* structure) {
  GValue matrix = G_VALUE_INIT;
  g_value_init(&matrix, GST_TYPE_ARRAY);
  for (double number : affine.m) {
    GValue item = G_VALUE_INIT;
    g_value_init(&item, G_TYPE_DOUBLE);
    g_value_set_double(&item, number);
    gst_value_array_append_and_take_value(&matrix, &item);
  }
  gst_structure_take_value(structure, "matrix", &matrix);
}

std::optional<Affine> read_affine(const GstStructure* structure) {
  const GValue* matrix = gst_structure_get_value(structure, "matrix");
  if (!matrix || !GST_VALUE_HOLDS_ARRAY(matrix) || gst_value_array_get_size(matrix) != 6) return std::nullopt;
  Affine affine;
  for (guint i = 0; i < 6; ++i) affine.m[i] = g_value_get_double(gst_value_array_get_value(matrix, i));
  return affine;
}

}  // namespace

void register_frame_metas() {
  static const bool once = [] {
    for (const char* name : {source_name, affine_name, json_name}) {
      if (!gst_meta_get_info(name)) gst_meta_register_custom_simple(name);
    }
    return true;
  }();
  (void)once;
}

void read_frame_metas(GstBuffer* buffer, Frame& frame) {
  if (const auto* structure = find(buffer, source_name)) frame.source = read_source(structure);
  if (const auto* structure = find(buffer, affine_name)) frame.affine = read_affine(structure);
  if (const auto* structure = find(buffer, json_name)) {
    if (const char* text = gst_structure_get_string(structure, "message")) frame.json = text;
  }
  if (const auto* crop = gst_buffer_get_video_crop_meta(buffer)) {
    frame.crop = Crop{int(crop->x), int(crop->y), int(crop->width), int(crop->height)};
  }
}

void write_frame_metas(const Frame& frame, GstBuffer* buffer) {
  if (frame.source) {
    write_source(*frame.source, ensure(buffer, source_name));
    if (frame.source->last_roi) GST_BUFFER_FLAG_SET(buffer, flag_last_roi);
  }
  if (frame.affine && !frame.affine->identity()) write_affine(*frame.affine, ensure(buffer, affine_name));
  if (!frame.json.empty()) write_json(frame, buffer);
  if (frame.crop) {
    auto* crop = gst_buffer_get_video_crop_meta(buffer);
    if (!crop) crop = gst_buffer_add_video_crop_meta(buffer);
    crop->x = guint(frame.crop->x), crop->y = guint(frame.crop->y);
    crop->width = guint(frame.crop->w), crop->height = guint(frame.crop->h);
  }
}

void write_json(const Frame& frame, GstBuffer* buffer) {
  gst_structure_set(ensure(buffer, json_name), "message", G_TYPE_STRING, frame.json.c_str(), nullptr);
}

GstEvent* to_event(const Gap& gap) {
  auto* event = gst_event_new_gap(to_clock_time(gap.pts), to_clock_time(gap.duration));
  if (gap.source) write_source(*gap.source, gst_event_writable_structure(event));
  return event;
}

Gap to_gap(GstEvent* event) {
  GstClockTime pts = GST_CLOCK_TIME_NONE, duration = GST_CLOCK_TIME_NONE;
  gst_event_parse_gap(event, &pts, &duration);
  Gap gap{from_clock_time(pts), from_clock_time(duration), {}};
  const auto* structure = gst_event_get_structure(event);
  if (gst_structure_has_field(structure, "stream_id")) gap.source = read_source(structure);
  return gap;
}

GstBuffer* to_buffer(const Gap& gap) {
  auto* buffer = gst_buffer_new();
  GST_BUFFER_PTS(buffer) = to_clock_time(gap.pts);
  GST_BUFFER_DURATION(buffer) = to_clock_time(gap.duration);
  GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_GAP);
  GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_DROPPABLE);
  if (gap.source) write_source(*gap.source, ensure(buffer, source_name));
  return buffer;
}

}  // namespace sightglass::gst
