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
const auto flag_last_roi = GstBufferFlags(GST_BUFFER_FLAG_LAST << 1);

// ---- the compact meta

struct Compact {
  std::optional<SourceId> source;
  std::optional<Affine> affine;
  bool has_results = false;
  std::vector<Region> regions;
  AttributesRef attributes;
};

struct CompactMeta {
  GstMeta base;
  Compact value;
};

gboolean copy_compact(GstBuffer* to, GstMeta* meta, GstBuffer*, GQuark type, gpointer) {
  if (!GST_META_TRANSFORM_IS_COPY(type)) return FALSE;
  auto* copy = reinterpret_cast<CompactMeta*>(gst_buffer_add_meta(to, meta->info, nullptr));
  copy->value = reinterpret_cast<CompactMeta*>(meta)->value;
  return TRUE;
}

const GstMetaInfo* register_compact() {
  static const gchar* tags[] = {nullptr};
  const GType api = gst_meta_api_type_register("SightglassOriginMetaAPI", tags);
  return gst_meta_register(
      api, "SightglassOriginMeta", sizeof(CompactMeta),
      [](GstMeta* meta, gpointer, GstBuffer*) -> gboolean {
        new (&reinterpret_cast<CompactMeta*>(meta)->value) Compact;
        return TRUE;
      },
      [](GstMeta* meta, GstBuffer*) { reinterpret_cast<CompactMeta*>(meta)->value.~Compact(); },
      copy_compact);
}

// ---- all of them; comparing these is quicker than asking for a name

struct Infos {
  const GstMetaInfo *source, *affine, *json, *compact;
};

const GstMetaInfo* register_custom(const char* name) {
  const auto* known = gst_meta_get_info(name);
  return known ? known : gst_meta_register_custom_simple(name);
}

const Infos& infos() {
  static const Infos registered = {register_custom(source_name), register_custom(affine_name),
                                   register_custom(json_name), register_compact()};
  return registered;
}

GstMeta* find_meta(GstBuffer* buffer, const GstMetaInfo* info) {
  gpointer state = nullptr;
  while (auto* meta = gst_buffer_iterate_meta(buffer, &state))
    if (meta->info == info) return meta;
  return nullptr;
}

Compact* find_compact(GstBuffer* buffer) {
  auto* meta = find_meta(buffer, infos().compact);
  return meta ? &reinterpret_cast<CompactMeta*>(meta)->value : nullptr;
}

Compact& ensure_compact(GstBuffer* buffer) {
  if (auto* known = find_compact(buffer)) return *known;
  return reinterpret_cast<CompactMeta*>(gst_buffer_add_meta(buffer, infos().compact, nullptr))->value;
}

GstStructure* structure_of(GstMeta* meta) {
  return gst_custom_meta_get_structure(reinterpret_cast<GstCustomMeta*>(meta));
}

// The structure of a custom meta of the buffer, added where it is missing.
GstStructure* ensure(GstBuffer* buffer, const GstMetaInfo* info, const char* name) {
  if (auto* meta = find_meta(buffer, info)) return structure_of(meta);
  return gst_custom_meta_get_structure(gst_buffer_add_custom_meta(buffer, name));
}

const GstStructure* find(GstBuffer* buffer, const GstMetaInfo* info) {
  auto* meta = find_meta(buffer, info);
  return meta ? structure_of(meta) : nullptr;
}

// ---- fields

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

// Several metas of one name: the samples, by their place, and a matrix for those that have one.
void read_batch(GstBuffer* buffer, Frame& frame) {
  gpointer state = nullptr;
  while (auto* meta = gst_buffer_iterate_meta(buffer, &state)) {
    if (meta->info != infos().source) continue;
    const auto* structure = structure_of(meta);
    Sample sample;
    if (!read_sample_times(structure, sample)) return;  // a frame of its own
    sample.source = read_source(structure);
    frame.batch.push_back(sample);
  }
  if (frame.batch.empty()) return;
  std::ranges::stable_sort(frame.batch, {}, [](const Sample& sample) { return sample.source.batch_index; });
  state = nullptr;
  while (auto* meta = gst_buffer_iterate_meta(buffer, &state)) {
    if (meta->info != infos().affine) continue;
    const auto* structure = structure_of(meta);
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
        if ((*meta)->info == infos().source || (*meta)->info == infos().affine) *meta = nullptr;
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

void register_frame_metas() { infos(); }

bool read_frame_metas(GstBuffer* buffer, Frame& frame, bool results) {
  const Infos& known = infos();
  static const GType crop_api = GST_VIDEO_CROP_META_API_TYPE;
  const GstStructure *source = nullptr, *affine = nullptr;
  bool has_results = false;
  gpointer state = nullptr;
  while (auto* meta = gst_buffer_iterate_meta(buffer, &state)) {
    if (meta->info == known.compact) {
      const Compact& compact = reinterpret_cast<CompactMeta*>(meta)->value;
      frame.source = compact.source;
      frame.affine = compact.affine;
      has_results = results && compact.has_results;
      if (has_results) {
        frame.regions.assign(compact.regions.begin(), compact.regions.end());
        frame.attributes = compact.attributes;
      }
    } else if (meta->info == known.source) {
      if (!source) source = structure_of(meta);
    } else if (meta->info == known.affine) {
      if (!affine) affine = structure_of(meta);
    } else if (meta->info == known.json) {
      if (const char* text = gst_structure_get_string(structure_of(meta), "message")) frame.json = text;
    } else if (meta->info->api == crop_api) {
      const auto* crop = reinterpret_cast<GstVideoCropMeta*>(meta);
      frame.crop = Crop{int(crop->x), int(crop->y), int(crop->width), int(crop->height)};
    }
  }
  if (source) {
    if (gst_structure_has_field(source, "sample_pts"))
      read_batch(buffer, frame);
    else
      frame.source = read_source(source);
  }
  if (affine && frame.batch.empty()) frame.affine = read_affine(affine);
  return has_results;
}

namespace {

void write_public(const Frame& frame, GstBuffer* buffer) {
  const Infos& known = infos();
  if (!frame.batch.empty()) write_batch(frame, buffer);
  if (frame.source) write_source(*frame.source, ensure(buffer, known.source, source_name));
  if (frame.affine && !frame.affine->identity())
    write_affine(*frame.affine, ensure(buffer, known.affine, affine_name));
}

}  // namespace

void write_frame_metas(const Frame& frame, GstBuffer* buffer, Readers readers) {
  if (readers == Readers::anybody || !frame.batch.empty()) {
    write_public(frame, buffer);
  } else {
    Compact& compact = ensure_compact(buffer);
    if (frame.source) compact.source = frame.source;
    if (frame.affine && !frame.affine->identity()) compact.affine = frame.affine;
  }
  if (frame.source && frame.source->last_roi) GST_BUFFER_FLAG_SET(buffer, flag_last_roi);
  if (!frame.json.empty()) write_json(frame, buffer);
  if (frame.crop) {
    auto* crop = gst_buffer_get_video_crop_meta(buffer);
    if (!crop) crop = gst_buffer_add_video_crop_meta(buffer);
    crop->x = guint(frame.crop->x), crop->y = guint(frame.crop->y);
    crop->width = guint(frame.crop->w), crop->height = guint(frame.crop->h);
  }
}

void write_compact_results(const Frame& frame, GstBuffer* buffer) {
  Compact& compact = ensure_compact(buffer);
  compact.has_results = true;
  compact.regions.assign(frame.regions.begin(), frame.regions.end());
  int32_t next = 0;
  for (const auto& region : compact.regions) next = std::max(next, region.id + 1);
  for (auto& region : compact.regions)
    if (region.id == -1) region.id = next++;
  compact.attributes = frame.attributes;
}

void set_stream(GstBuffer* buffer, uint64_t stream) {
  if (auto* compact = find_compact(buffer); compact && compact->source) {
    compact->source->stream = stream;
    return;
  }
  const auto* known = find(buffer, infos().source);
  SourceId source = known ? read_source(known) : SourceId{.pts = from_clock_time(GST_BUFFER_PTS(buffer))};
  source.stream = stream;
  write_source(source, ensure(buffer, infos().source, source_name));
}

void set_batch_index(GstBuffer* buffer, int index) {
  if (auto* compact = find_compact(buffer); compact && compact->source) {
    compact->source->batch_index = index;
    return;
  }
  gst_structure_set(ensure(buffer, infos().source, source_name), "batch_index", G_TYPE_INT, index, nullptr);
}

void write_json(const Frame& frame, GstBuffer* buffer) {
  gst_structure_set(ensure(buffer, infos().json, json_name), "message", G_TYPE_STRING, frame.json.c_str(),
                    nullptr);
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
  if (const auto* structure = find(gap_buffer, infos().source)) gap.source = read_source(structure);
  return gap;
}

GstBuffer* to_buffer(const Gap& gap) {
  auto* buffer = gst_buffer_new();
  GST_BUFFER_PTS(buffer) = to_clock_time(gap.pts);
  GST_BUFFER_DURATION(buffer) = to_clock_time(gap.duration);
  GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_GAP);
  GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_DROPPABLE);
  if (gap.source) write_source(*gap.source, ensure(buffer, infos().source, source_name));
  return buffer;
}

}  // namespace sightglass::gst
