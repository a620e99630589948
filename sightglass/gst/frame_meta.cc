#include "sightglass/gst/frame_meta.h"

#include <gst/video/video.h>

#include <algorithm>
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

// Of a sample of a batch; that these fields are there is what tells it from a frame of its own.
void write_sample_times(const Sample& sample, GstStructure* structure) {
  gst_structure_set(structure, "sample_pts", G_TYPE_UINT64, guint64(to_clock_time(sample.pts)),
                    "sample_duration", G_TYPE_UINT64, guint64(to_clock_time(sample.duration)), nullptr);
}

bool read_sample_times(const GstStructure* structure, Sample& sample) {
  guint64 pts = GST_CLOCK_TIME_NONE, duration = GST_CLOCK_TIME_NONE;
  if (!gst_structure_get_uint64(structure, "sample_pts", &pts)) return false;
  gst_structure_get_uint64(structure, "sample_duration", &duration);
  sample.pts = from_clock_time(pts);
  sample.duration = from_clock_time(duration);
  return true;
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

bool is_named(const GstMeta* meta, const char* name) {
  return gst_meta_info_is_custom(meta->info) &&
         gst_custom_meta_has_name(reinterpret_cast<GstCustomMeta*>(const_cast<GstMeta*>(meta)), name);
}

// Several metas of one name: the samples, by their place, and a matrix for those that have one.
void read_batch(GstBuffer* buffer, Frame& frame) {
  gpointer state = nullptr;
  while (auto* meta = gst_buffer_iterate_meta(buffer, &state)) {
    if (!is_named(meta, source_name)) continue;
    const auto* structure = gst_custom_meta_get_structure(reinterpret_cast<GstCustomMeta*>(meta));
    Sample sample;
    if (!read_sample_times(structure, sample)) return;  // a frame of its own
    sample.source = read_source(structure);
    frame.batch.push_back(sample);
  }
  if (frame.batch.empty()) return;
  std::ranges::stable_sort(frame.batch, {}, [](const Sample& sample) { return sample.source.batch_index; });
  state = nullptr;
  while (auto* meta = gst_buffer_iterate_meta(buffer, &state)) {
    if (!is_named(meta, affine_name)) continue;
    const auto* structure = gst_custom_meta_get_structure(reinterpret_cast<GstCustomMeta*>(meta));
    gint index = 0;
    gst_structure_get_int(structure, "batch_index", &index);
    const auto sample =
        std::ranges::find(frame.batch, index, [](const Sample& s) { return s.source.batch_index; });
    const auto affine = read_affine(structure);
    if (affine && sample != frame.batch.end()) sample->affine = *affine;
  }
}

void write_batch(const Frame& frame, GstBuffer* buffer) {
  gst_buffer_foreach_meta(
      buffer,
      [](GstBuffer*, GstMeta** meta, gpointer) -> gboolean {
        if (is_named(*meta, source_name) || is_named(*meta, affine_name)) *meta = nullptr;
        return TRUE;
      },
      nullptr);
  for (const Sample& sample : frame.batch) {
    auto* source = gst_custom_meta_get_structure(gst_buffer_add_custom_meta(buffer, source_name));
    write_source(sample.source, source);
    write_sample_times(sample, source);
    if (sample.affine.identity()) continue;
    auto* affine = gst_custom_meta_get_structure(gst_buffer_add_custom_meta(buffer, affine_name));
    write_affine(sample.affine, affine);
    gst_structure_set(affine, "batch_index", G_TYPE_INT, sample.source.batch_index, nullptr);
  }
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
  if (const auto* structure = find(buffer, source_name)) {
    if (gst_structure_has_field(structure, "sample_pts"))
      read_batch(buffer, frame);
    else
      frame.source = read_source(structure);
  }
  if (frame.batch.empty()) {
    if (const auto* structure = find(buffer, affine_name)) frame.affine = read_affine(structure);
  }
  if (const auto* structure = find(buffer, json_name)) {
    if (const char* text = gst_structure_get_string(structure, "message")) frame.json = text;
  }
  if (const auto* crop = gst_buffer_get_video_crop_meta(buffer)) {
    frame.crop = Crop{int(crop->x), int(crop->y), int(crop->width), int(crop->height)};
  }
}

void write_frame_metas(const Frame& frame, GstBuffer* buffer) {
  if (!frame.batch.empty()) write_batch(frame, buffer);
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

void set_stream(GstBuffer* buffer, uint64_t stream) {
  const auto* known = find(buffer, source_name);
  SourceId source = known ? read_source(known) : SourceId{.pts = from_clock_time(GST_BUFFER_PTS(buffer))};
  source.stream = stream;
  write_source(source, ensure(buffer, source_name));
}

void set_batch_index(GstBuffer* buffer, int index) {
  gst_structure_set(ensure(buffer, source_name), "batch_index", G_TYPE_INT, index, nullptr);
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

bool is_gap(const GstBuffer* buffer) {
  return GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_GAP) &&
         gst_buffer_n_memory(const_cast<GstBuffer*>(buffer)) == 0;
}

Gap to_gap(GstBuffer* gap_buffer) {
  Gap gap{from_clock_time(GST_BUFFER_PTS(gap_buffer)), from_clock_time(GST_BUFFER_DURATION(gap_buffer)), {}};
  if (const auto* structure = find(gap_buffer, source_name)) gap.source = read_source(structure);
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
