#include "sightglass/cli/element_info.h"

#include <gst/gst.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "sightglass/bins/bin.h"
#include "sightglass/cli/gst_setup.h"
#include "sightglass/cli/text.h"
#include "sightglass/core/registry.h"
#include "sightglass/memory/gst/handles.h"
#include "sightglass/model/spelling.h"

namespace sightglass::cli {
namespace {

std::string number_text(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) return std::to_string(int64_t(value));
  return std::format("{}", value);
}

// ---- from descriptors

std::string type_text(const ParamDesc& desc) {
  switch (desc.type) {
    case ParamType::boolean:
      return "bool";
    case ParamType::integer:
    case ParamType::unsigned_integer:
    case ParamType::integer64:
      return "integer";
    case ParamType::number32:
    case ParamType::number:
      return "number";
    case ParamType::text:
      return "text";
    case ParamType::choice:
      return "choice";
    case ParamType::integers:
      return "integers";
    case ParamType::numbers:
      return "numbers";
    case ParamType::texts:
      return "texts";
    case ParamType::fraction:
      return "fraction";
  }
  return "";
}

std::string range_text(const ParamDesc& desc) {
  if (desc.type == ParamType::choice) {
    std::string text;
    for (size_t i = 0; i < desc.choice_names.size(); ++i)
      text += std::format("{}{}={}", i ? " | " : "", desc.choice_names[i], desc.choice_value(i));
    return text;
  }
  const bool is_number =
      desc.type != ParamType::boolean && desc.type != ParamType::text && desc.type != ParamType::texts;
  if (!is_number) return {};
  const auto whole_min = double(std::numeric_limits<int>::min()),
             whole_max = double(std::numeric_limits<int>::max());
  const bool has_min = desc.min > whole_min, has_max = desc.max < whole_max;
  if (!has_min && !has_max) return {};
  return (has_min ? number_text(desc.min) : "") + ".." + (has_max ? number_text(desc.max) : "");
}

std::string format_text(const FormatSpec& spec) {
  std::string text = "anything";
  const auto side = [](IntRange range) {
    return range.fixed() ? std::to_string(range.min) : std::string("any");
  };
  if (const auto* video = std::get_if<VideoSpec>(&spec.media)) {
    std::vector<std::string_view> names;
    for (PixelFormat format : video->formats) names.push_back(to_string(format));
    text = "video: " + (names.empty() ? "every pixel format" : joined(names));
    if (video->width.fixed() || video->height.fixed())
      text += std::format(", {}x{}", side(video->width), side(video->height));
  } else if (const auto* tensors = std::get_if<TensorsSpec>(&spec.media)) {
    std::vector<std::string> each;
    for (const auto& tensor : tensors->tensors) {
      std::vector<std::string_view> types;
      for (DataType type : tensor.types) types.push_back(to_string(type));
      std::string one = types.empty() ? "of any type" : joined(types, " or ");
      if (!tensor.shape.empty()) one += " " + tensor.shape.to_string();
      if (tensor.layout != Layout::any) one += " " + std::string(to_string(tensor.layout));
      each.push_back(one);
    }
    text = "tensors: " + (each.empty() ? "any" : joined(each, "; "));
  }
  if (spec.memory != MemoryKind::system) text += std::format(", in {} memory", to_string(spec.memory));
  return text;
}

ParamInfo from_descriptor(const ParamDesc& desc) {
  return {desc.name,
          type_text(desc),
          desc.to_text(desc.default_value),
          range_text(desc),
          desc.unit,
          desc.doc,
          desc.is_live,
          desc.is_readable_only};
}

ElementInfo from_descriptor(const ElementDesc& desc) {
  ElementInfo info{desc.name, desc.title, desc.klass, desc.doc, false, {}, {}, {}};
  for (const auto& spec : desc.input) info.inputs.push_back(format_text(spec));
  for (const auto& spec : desc.output) info.outputs.push_back(format_text(spec));
  for (const auto& param : desc.params.params) info.params.push_back(from_descriptor(param));
  return info;
}

// A bin: its own parameters from its descriptor, the rest is the same for all.
void use_bin_descriptor(const BinDesc& desc, ElementInfo& info) {
  std::erase_if(info.params, [](const ParamInfo& param) { return !param.is_of_every_bin(); });
  std::vector<ParamInfo> own;
  for (const auto& param : desc.params.params) own.push_back(from_descriptor(param));
  info.params.insert(info.params.begin(), own.begin(), own.end());
}

// ---- from GStreamer

template <class Spec>
std::string limits(const GParamSpec* spec, double least, double most) {
  const auto* typed = reinterpret_cast<const Spec*>(spec);
  const bool has_min = double(typed->minimum) > least, has_max = double(typed->maximum) < most;
  if (!has_min && !has_max) return {};
  return (has_min ? number_text(double(typed->minimum)) : "") + ".." +
         (has_max ? number_text(double(typed->maximum)) : "");
}

std::string default_text(GParamSpec* spec) {
  const GValue* value = g_param_spec_get_default_value(spec);
  if (G_IS_PARAM_SPEC_ENUM(spec)) {
    const auto* found = g_enum_get_value(G_PARAM_SPEC_ENUM(spec)->enum_class, g_value_get_enum(value));
    return found ? found->value_nick : "";
  }
  if (G_VALUE_HOLDS_STRING(value)) return g_value_get_string(value) ? g_value_get_string(value) : "";
  if (G_VALUE_HOLDS_OBJECT(value) || GST_VALUE_HOLDS_ARRAY(value)) return {};
  if (G_VALUE_HOLDS_FLOAT(value)) return std::format("{}", g_value_get_float(value));
  if (G_VALUE_HOLDS_DOUBLE(value)) return std::format("{}", g_value_get_double(value));
  gchar* text = gst_value_serialize(value);
  std::string result = text ? text : "";
  g_free(text);
  return result;
}

ParamInfo from_spec(GParamSpec* spec) {
  ParamInfo info{spec->name,
                 {},
                 default_text(spec),
                 {},
                 {},
                 {},
                 bool(spec->flags & GST_PARAM_MUTABLE_PLAYING),
                 !(spec->flags & G_PARAM_WRITABLE)};
  constexpr double int_min = std::numeric_limits<int>::min(), int_max = std::numeric_limits<int>::max();
  constexpr double float_max = std::numeric_limits<float>::max();
  if (G_IS_PARAM_SPEC_BOOLEAN(spec))
    info.type = "bool";
  else if (G_IS_PARAM_SPEC_INT(spec))
    info.type = "integer", info.range = limits<GParamSpecInt>(spec, int_min, int_max);
  else if (G_IS_PARAM_SPEC_UINT(spec))
    info.type = "integer", info.range = limits<GParamSpecUInt>(spec, -1, int_max);
  else if (G_IS_PARAM_SPEC_INT64(spec))
    info.type = "integer", info.range = limits<GParamSpecInt64>(spec, int_min, int_max);
  else if (G_IS_PARAM_SPEC_UINT64(spec))
    info.type = "integer", info.range = limits<GParamSpecUInt64>(spec, -1, int_max);
  else if (G_IS_PARAM_SPEC_FLOAT(spec))
    info.type = "number", info.range = limits<GParamSpecFloat>(spec, -float_max, float_max);
  else if (G_IS_PARAM_SPEC_DOUBLE(spec))
    info.type = "number", info.range = limits<GParamSpecDouble>(spec, -float_max, float_max);
  else if (G_IS_PARAM_SPEC_STRING(spec))
    info.type = "text";
  else if (G_IS_PARAM_SPEC_ENUM(spec)) {
    info.type = "choice";
    auto* klass = G_PARAM_SPEC_ENUM(spec)->enum_class;
    for (guint i = 0; i < klass->n_values; ++i)
      info.range +=
          std::format("{}{}={}", i ? " | " : "", klass->values[i].value_nick, klass->values[i].value);
  } else if (GST_IS_PARAM_SPEC_ARRAY_LIST(spec))
    info.type = "list";
  else if (GST_IS_PARAM_SPEC_FRACTION(spec))
    info.type = "fraction";
  else if (g_type_is_a(spec->value_type, GST_TYPE_ELEMENT))
    info.type = "element";
  else
    info.type = g_type_name(spec->value_type);
  // Our wrapper writes the unit behind the text.
  info.doc = g_param_spec_get_blurb(spec);
  if (const auto from = info.doc.rfind(" ["); from != std::string::npos && info.doc.ends_with("]")) {
    info.unit = info.doc.substr(from + 2, info.doc.size() - from - 3);
    info.doc.resize(from);
  }
  return info;
}

Result<ElementInfo> from_registry(const std::string& name) {
  gst::ElementPtr element(gst_element_factory_make(name.c_str(), nullptr));
  if (!element) return fail(ErrorCode::internal, "{}: is registered but cannot be made", name);
  gst_object_ref_sink(element.get());
  auto* factory = gst_element_get_factory(element.get());
  const auto meta = [&](const char* key) {
    const char* text = gst_element_factory_get_metadata(factory, key);
    return std::string(text ? text : "");
  };
  ElementInfo info{name,
                   meta(GST_ELEMENT_METADATA_LONGNAME),
                   meta(GST_ELEMENT_METADATA_KLASS),
                   meta(GST_ELEMENT_METADATA_DESCRIPTION),
                   GST_IS_BIN(element.get()) != 0,
                   {},
                   {},
                   {}};
  for (const GList* item = gst_element_factory_get_static_pad_templates(factory); item; item = item->next) {
    auto* pad = static_cast<GstStaticPadTemplate*>(item->data);
    gst::CapsPtr caps(gst_static_pad_template_get_caps(pad));
    std::string text = "anything";
    if (!gst_caps_is_any(caps.get())) {
      gchar* shown = gst_caps_to_string(caps.get());
      text = shown;
      g_free(shown);
      if (text == "video/x-raw(ANY)") text = "video: every pixel format, any memory";
    }
    if (pad->presence == GST_PAD_REQUEST) text += std::format(" (request pad {})", pad->name_template);
    (pad->direction == GST_PAD_SINK ? info.inputs : info.outputs).push_back(text);
  }
  // The registry has them in no particular order.
  std::ranges::sort(info.inputs);
  std::ranges::sort(info.outputs);
  guint count = 0;
  GParamSpec** specs = g_object_class_list_properties(G_OBJECT_GET_CLASS(element.get()), &count);
  for (guint i = 0; i < count; ++i)
    if (specs[i]->owner_type == G_OBJECT_TYPE(element.get())) info.params.push_back(from_spec(specs[i]));
  g_free(specs);
  // What all bins have in common comes last.
  std::ranges::stable_partition(info.params, [](const ParamInfo& param) { return !param.is_of_every_bin(); });
  if (const auto* bin = find_bin(name)) use_bin_descriptor(*bin, info);
  return info;
}

}  // namespace

Result<ElementInfo> element_info(const std::string& name) {
  if (const auto* desc = find_element(name)) return from_descriptor(*desc);
  const auto known = plugin_elements();
  if (std::ranges::binary_search(known, name)) return from_registry(name);
  return fail(ErrorCode::not_found, "{}: no such element of Sightglass{}", name, did_you_mean(name, known));
}

std::vector<ElementInfo> all_element_info() {
  auto names = plugin_elements();
  for (const auto* desc : all_elements()) names.push_back(desc->name);
  std::ranges::sort(names);
  const auto [from, to] = std::ranges::unique(names);
  names.erase(from, to);
  std::vector<ElementInfo> all;
  for (const auto& name : names)
    if (auto info = element_info(name)) all.push_back(std::move(*info));
  return all;
}

}  // namespace sightglass::cli
