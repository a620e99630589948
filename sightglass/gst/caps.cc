#include "sightglass/gst/caps.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "sightglass/memory/gst/gst_frame.h"

namespace sightglass::gst {
namespace {

constexpr const char* tensors_media = "other/tensors";

const char* feature_of(MemoryKind kind) {
  switch (kind) {
    case MemoryKind::system:
      return nullptr;
    case MemoryKind::dmabuf:
      return "memory:DMABuf";
    case MemoryKind::cuda:
      return "memory:CUDAMemory";
    case MemoryKind::va:
      return "memory:VAMemory";
    case MemoryKind::opencl:
      return "memory:OpenCL";
    default:  // the handle of a framework: never a name of its own between GStreamer's elements
      return nullptr;
  }
}

std::optional<MemoryKind> memory_of(const GstCapsFeatures* features) {
  if (!features || gst_caps_features_is_equal(features, GST_CAPS_FEATURES_MEMORY_SYSTEM_MEMORY))
    return MemoryKind::system;
  if (gst_caps_features_contains(features, "memory:VASurface"))
    return MemoryKind::va;  // name of the old VA plug-in
  for (auto kind : {MemoryKind::dmabuf, MemoryKind::cuda, MemoryKind::va, MemoryKind::opencl}) {
    if (gst_caps_features_contains(features, feature_of(kind))) return kind;
  }
  return std::nullopt;
}

void append(GstCaps* caps, GstStructure* structure, MemoryKind kind) {
  const char* feature = feature_of(kind);
  gst_caps_append_structure_full(caps, structure,
                                 feature ? gst_caps_features_new(feature, nullptr) : nullptr);
}

void set_texts(GstStructure* structure, const char* field, const std::vector<std::string>& texts) {
  if (texts.empty()) return;
  if (texts.size() == 1) return gst_structure_set(structure, field, G_TYPE_STRING, texts[0].c_str(), nullptr);
  GValue list = G_VALUE_INIT;
  g_value_init(&list, GST_TYPE_LIST);
  for (const auto& text : texts) {
    GValue item = G_VALUE_INIT;
    g_value_init(&item, G_TYPE_STRING);
    g_value_set_string(&item, text.c_str());
    gst_value_list_append_and_take_value(&list, &item);
  }
  gst_structure_take_value(structure, field, &list);
}

std::vector<std::string> get_texts(const GstStructure* structure, const char* field) {
  std::vector<std::string> texts;
  const GValue* value = gst_structure_get_value(structure, field);
  if (value && G_VALUE_HOLDS_STRING(value)) {
    texts.emplace_back(g_value_get_string(value));
  } else if (value && GST_VALUE_HOLDS_LIST(value)) {
    for (guint i = 0; i < gst_value_list_get_size(value); ++i) {
      const GValue* item = gst_value_list_get_value(value, i);
      if (G_VALUE_HOLDS_STRING(item)) texts.emplace_back(g_value_get_string(item));
    }
  }
  return texts;
}

void set_range(GstStructure* structure, const char* field, IntRange range) {
  if (range.fixed()) {
    gst_structure_set(structure, field, G_TYPE_INT, range.min, nullptr);
  } else {
    gst_structure_set(structure, field, GST_TYPE_INT_RANGE, range.min, range.max, nullptr);
  }
}

IntRange get_range(const GstStructure* structure, const char* field) {
  const GValue* value = gst_structure_get_value(structure, field);
  if (!value) return {};
  if (G_VALUE_HOLDS_INT(value)) return IntRange::exactly(g_value_get_int(value));
  if (GST_VALUE_HOLDS_INT_RANGE(value))
    return {gst_value_get_int_range_min(value), gst_value_get_int_range_max(value)};
  return {};
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  for (size_t start = 0;;) {
    const size_t end = text.find(separator, start);
    parts.push_back(text.substr(start, end - start));
    if (end == std::string::npos) return parts;
    start = end + 1;
  }
}

// One field of all tensors, joined by ','; empty where a tensor leaves it open.
template <class Text>
std::string joined(const std::vector<TensorSpec>& tensors, Text text) {
  std::string all;
  for (const auto& tensor : tensors) {
    const std::string one = text(tensor);
    if (one.empty()) return {};
    all += (all.empty() ? "" : ",") + one;
  }
  return all;
}

void add_tensors(GstCaps* caps, const TensorsSpec& spec, MemoryKind kind) {
  const auto& tensors = spec.tensors;
  auto* structure = gst_structure_new_empty(tensors_media);
  if (tensors.size() == 1) {
    std::vector<std::string> types;
    for (auto type : tensors[0].types) types.emplace_back(to_string(type));
    set_texts(structure, "types", types);
  } else if (const auto types = joined(tensors,
                                       [](const TensorSpec& t) {
                                         return t.types.size() == 1 ? std::string(to_string(t.types[0])) : "";
                                       });
             !types.empty()) {
    set_texts(structure, "types", {types});
  }
  const auto dimensions = joined(tensors, [](const TensorSpec& t) {
    return t.shape.empty() || !t.shape.fixed() ? std::string() : t.shape.to_dimensions();
  });
  if (!dimensions.empty()) set_texts(structure, "dimensions", {dimensions});
  const auto strides =
      joined(tensors, [](const TensorSpec& t) { return t.strides.empty() ? "" : t.strides.to_dimensions(); });
  if (!strides.empty()) set_texts(structure, "strides", {strides});
  const auto layouts = joined(tensors, [](const TensorSpec& t) { return std::string(to_string(t.layout)); });
  if (!layouts.empty()) set_texts(structure, "layouts", {layouts});
  const auto names = joined(tensors, [](const TensorSpec& t) { return t.name; });
  if (!names.empty()) set_texts(structure, "names", {names});
  if (!spec.model.empty()) set_texts(structure, "model", {spec.model});
  if (tensors.empty()) return append(caps, structure, kind);

  auto* as_int = gst_structure_copy(structure);
  gst_structure_set(structure, "num_tensors", G_TYPE_UINT, guint(tensors.size()), nullptr);
  gst_structure_set(as_int, "num_tensors", G_TYPE_INT, gint(tensors.size()), nullptr);
  append(caps, structure, kind);
  append(caps, as_int, kind);
}

void add_video(GstCaps* caps, const VideoSpec& spec, MemoryKind kind) {
  auto* structure = gst_structure_new_empty("video/x-raw");
  std::vector<std::string> formats;
  for (auto format : spec.formats) formats.emplace_back(to_string(format));
  set_texts(structure, "format", formats);
  set_range(structure, "width", spec.width);
  set_range(structure, "height", spec.height);
  append(caps, structure, kind);
}

// ---- sound: a tensor [channels, samples], interleaved, whose number of samples is that of each buffer

const char* sample_format(DataType type) { return type == DataType::i16 ? "S16LE" : "F32LE"; }

void add_sound(GstCaps* caps, const TensorSpec& spec, MemoryKind kind) {
  auto* structure = gst_structure_new("audio/x-raw", "layout", G_TYPE_STRING, "interleaved", "rate",
                                      GST_TYPE_INT_RANGE, 1, G_MAXINT, nullptr);
  std::vector<std::string> formats;
  for (auto type : spec.types) formats.emplace_back(sample_format(type));
  set_texts(structure, "format", formats);
  const int64_t channels = spec.shape.empty() ? -1 : spec.shape[0];
  set_range(structure, "channels", channels > 0 ? IntRange::exactly(int(channels)) : IntRange{});
  append(caps, structure, kind);
}

// None where it is sound of another kind.
std::optional<TensorSpec> sound_spec(const GstStructure* structure) {
  const char* layout = gst_structure_get_string(structure, "layout");
  if (layout && !g_str_equal(layout, "interleaved")) return std::nullopt;
  TensorSpec spec{.types = {}, .shape = {-1, -1}, .strides = {}, .name = {}};
  const auto formats = get_texts(structure, "format");
  for (auto type : {DataType::i16, DataType::f32})
    if (formats.empty() || std::ranges::contains(formats, sample_format(type))) spec.types.push_back(type);
  if (spec.types.empty()) return std::nullopt;
  const IntRange channels = get_range(structure, "channels");
  if (channels.fixed()) spec.shape[0] = channels.min;
  return spec;
}

size_t tensor_count(const GstStructure* structure) {
  guint count = 0;
  gint as_int = 0;
  if (gst_structure_get_uint(structure, "num_tensors", &count)) return count;
  if (gst_structure_get_int(structure, "num_tensors", &as_int) && as_int > 0) return size_t(as_int);
  return 0;
}

TensorsSpec tensors_spec(const GstStructure* structure) {
  TensorsSpec spec;
  const auto types = get_texts(structure, "types");
  const auto dimensions = get_texts(structure, "dimensions");
  const auto layouts = get_texts(structure, "layouts");
  const auto strides = get_texts(structure, "strides");
  size_t count = tensor_count(structure);
  if (count == 0 && dimensions.size() == 1) count = split(dimensions[0], ',').size();
  if (count == 0 && !types.empty()) count = split(types[0], ',').size();
  spec.tensors.resize(count);
  const auto each = [&](const std::vector<std::string>& field, auto&& store) {
    if (field.size() != 1) return;
    const auto parts = split(field[0], ',');
    for (size_t i = 0; i < std::min(count, parts.size()); ++i) store(spec.tensors[i], parts[i]);
  };
  if (count == 1) {
    for (const auto& type : types) {
      if (auto known = data_type(type)) spec.tensors[0].types.push_back(*known);
    }
  } else {
    each(types, [](TensorSpec& t, const std::string& text) {
      if (auto known = data_type(text)) t.types.push_back(*known);
    });
  }
  each(dimensions, [](TensorSpec& t, const std::string& text) {
    t.shape = shape_from_dimensions(text).value_or(Shape());
  });
  each(strides, [](TensorSpec& t, const std::string& text) {
    t.strides = shape_from_dimensions(text).value_or(Shape());
  });
  each(layouts,
       [](TensorSpec& t, const std::string& text) { t.layout = layout(text).value_or(Layout::any); });
  return spec;
}

Result<TensorsInfo> tensors_info(const GstStructure* structure) {
  TensorsInfo info;
  const auto names = get_texts(structure, "names");
  const auto name_list = names.empty() ? std::vector<std::string>() : split(names[0], ',');
  if (const char* model = gst_structure_get_string(structure, "model")) info.model = model;
  for (const auto& spec : tensors_spec(structure).tensors) {
    if (spec.types.size() != 1 || spec.shape.empty() || !spec.shape.fixed()) {
      return fail(ErrorCode::not_negotiated,
                  "the tensors have no fixed type and dimensions; put the model's caps behind, or set width "
                  "and height");
    }
    const size_t index = info.tensors.size();
    info.tensors.push_back({spec.types[0], spec.shape, spec.strides, spec.layout,
                            index < name_list.size() ? name_list[index] : ""});
  }
  if (info.tensors.empty()) return fail(ErrorCode::not_negotiated, "the caps name no tensors");
  return info;
}

}  // namespace

CapsPtr to_caps(const FormatSpec& spec) {
  if (std::holds_alternative<AnySpec>(spec.media)) return CapsPtr(gst_caps_new_any());
  CapsPtr caps(gst_caps_new_empty());
  if (const auto* video = std::get_if<VideoSpec>(&spec.media)) add_video(caps.get(), *video, spec.memory);
  if (const auto* tensors = std::get_if<TensorsSpec>(&spec.media)) {
    if (tensors->model == sound_model && tensors->tensors.size() == 1)
      add_sound(caps.get(), tensors->tensors[0], spec.memory);
    else
      add_tensors(caps.get(), *tensors, spec.memory);
  }
  return caps;
}

CapsPtr to_caps(const std::vector<FormatSpec>& specs) {
  GstCaps* all = gst_caps_new_empty();
  for (const auto& spec : specs) all = gst_caps_merge(all, to_caps(spec).release());
  return CapsPtr(all);
}

FormatSpec to_spec(const GstStructure* structure, const GstCapsFeatures* features) {
  const auto memory = memory_of(features);
  if (!memory) return {};
  if (gst_structure_has_name(structure, tensors_media)) return {tensors_spec(structure), *memory};
  if (gst_structure_has_name(structure, sound_model)) {
    auto sound = sound_spec(structure);
    return sound ? FormatSpec{TensorsSpec{{std::move(*sound)}, sound_model}, *memory} : FormatSpec{};
  }
  if (!gst_structure_has_name(structure, "video/x-raw")) return {};
  VideoSpec video;
  const auto formats = get_texts(structure, "format");
  for (const auto& text : formats) {
    if (auto format = pixel_format(text)) video.formats.push_back(*format);
  }
  if (!formats.empty() && video.formats.empty()) return {};  // only formats that we have no name for
  video.width = get_range(structure, "width");
  video.height = get_range(structure, "height");
  return {std::move(video), *memory};
}

Result<Format> to_format(const GstCaps* caps, GstVideoInfo* video) {
  const auto* structure = gst_caps_get_structure(caps, 0);
  Format format;
  const auto memory = memory_of(gst_caps_get_features(caps, 0));
  if (!memory) return format;
  format.memory = *memory;
  if (gst_structure_has_name(structure, tensors_media)) {
    auto tensors = tensors_info(structure);
    if (!tensors) return forward_error(tensors);
    format.media = std::move(*tensors);
  } else if (gst_structure_has_name(structure, "video/x-raw")) {
    if (!gst_video_info_from_caps(video, caps))
      return fail(ErrorCode::not_negotiated, "the video caps are incomplete");
    if (auto picture = to_video_info(*video)) format.media = *picture;
  } else if (gst_structure_has_name(structure, sound_model)) {
    const auto sound = sound_spec(structure);
    if (!sound || sound->types.size() != 1 || sound->shape[0] < 1) return format;
    const int64_t size = int64_t(size_of(sound->types[0]));
    format.media = TensorsInfo{{{.type = sound->types[0],
                                 .shape = sound->shape,
                                 .strides = {size, size * sound->shape[0]},
                                 .name = {}}},
                               sound_model};
  }
  return format;
}

}  // namespace sightglass::gst
