#include "sightglass/gst/factory_info.h"

#include <gst/gst.h>

#include <map>
#include <memory>
#include <mutex>

namespace sightglass::gst {
namespace {

template <class Spec>
void take_range(ParamDesc& desc, const Spec* spec) {
  desc.min = double(spec->minimum), desc.max = double(spec->maximum);
}

// False: of a type that no text can give.
bool describe(const GParamSpec* spec, ParamDesc& desc) {
  const GType type = G_PARAM_SPEC_VALUE_TYPE(spec);
  if (G_IS_PARAM_SPEC_BOOLEAN(spec)) {
    desc.type = ParamType::boolean;
    desc.default_value = G_PARAM_SPEC_BOOLEAN(spec)->default_value != 0;
  } else if (G_IS_PARAM_SPEC_INT(spec)) {
    desc.type = ParamType::integer;
    take_range(desc, G_PARAM_SPEC_INT(spec));
    desc.default_value = int64_t(G_PARAM_SPEC_INT(spec)->default_value);
  } else if (G_IS_PARAM_SPEC_UINT(spec)) {
    desc.type = ParamType::unsigned_integer;
    take_range(desc, G_PARAM_SPEC_UINT(spec));
    desc.default_value = int64_t(G_PARAM_SPEC_UINT(spec)->default_value);
  } else if (G_IS_PARAM_SPEC_INT64(spec)) {
    desc.type = ParamType::integer64;
    take_range(desc, G_PARAM_SPEC_INT64(spec));
    desc.default_value = int64_t(G_PARAM_SPEC_INT64(spec)->default_value);
  } else if (G_IS_PARAM_SPEC_UINT64(spec)) {
    desc.type = ParamType::integer64;
    take_range(desc, G_PARAM_SPEC_UINT64(spec));
    desc.default_value = int64_t(G_PARAM_SPEC_UINT64(spec)->default_value);
  } else if (G_IS_PARAM_SPEC_FLOAT(spec)) {
    desc.type = ParamType::number32;
    take_range(desc, G_PARAM_SPEC_FLOAT(spec));
    desc.default_value = double(G_PARAM_SPEC_FLOAT(spec)->default_value);
  } else if (G_IS_PARAM_SPEC_DOUBLE(spec)) {
    desc.type = ParamType::number;
    take_range(desc, G_PARAM_SPEC_DOUBLE(spec));
    desc.default_value = G_PARAM_SPEC_DOUBLE(spec)->default_value;
  } else if (G_IS_PARAM_SPEC_ENUM(spec)) {
    desc.type = ParamType::choice;
    const GEnumClass* known = G_PARAM_SPEC_ENUM(spec)->enum_class;
    for (guint i = 0; i < known->n_values; ++i) {
      desc.choice_names.emplace_back(known->values[i].value_nick);
      desc.choice_values.push_back(known->values[i].value);
    }
    desc.default_value = int64_t(G_PARAM_SPEC_ENUM(spec)->default_value);
  } else if (GST_IS_PARAM_SPEC_FRACTION(spec)) {
    const auto* fraction = GST_PARAM_SPEC_FRACTION(spec);
    desc.type = ParamType::fraction;
    desc.default_value = Fraction{fraction->def_num, fraction->def_den};
  } else if (G_IS_PARAM_SPEC_STRING(spec)) {
    desc.type = ParamType::text;
    const char* text = G_PARAM_SPEC_STRING(spec)->default_value;
    desc.default_value = std::string(text ? text : "");
  } else if (G_IS_PARAM_SPEC_FLAGS(spec) || type == GST_TYPE_CAPS || type == GST_TYPE_STRUCTURE) {
    // As gst-launch reads them.
    desc.type = ParamType::text;
    desc.default_value = std::string();
  } else {
    return false;
  }
  return true;
}

std::vector<ParamDesc> params_of(GType type) {
  std::vector<ParamDesc> params;
  auto* klass = static_cast<GObjectClass*>(g_type_class_ref(type));
  guint count = 0;
  GParamSpec** specs = g_object_class_list_properties(klass, &count);
  for (guint i = 0; i < count; ++i) {
    const GParamSpec* spec = specs[i];
    const std::string name = g_param_spec_get_name(specs[i]);
    if (!(spec->flags & G_PARAM_WRITABLE) || name == "name" || name == "parent") continue;
    ParamDesc desc;
    desc.name = name;
    if (const char* blurb = g_param_spec_get_blurb(specs[i])) desc.doc = blurb;
    desc.is_live = (spec->flags & GST_PARAM_MUTABLE_PLAYING) != 0;
    if (describe(spec, desc)) params.push_back(std::move(desc));
  }
  g_free(specs);
  g_type_class_unref(klass);
  return params;
}

std::unique_ptr<FactoryInfo> look_up(const std::string& name) {
  GstElementFactory* known = gst_element_factory_find(name.c_str());
  if (!known) return nullptr;
  auto* factory = GST_ELEMENT_FACTORY(gst_plugin_feature_load(GST_PLUGIN_FEATURE(known)));
  gst_object_unref(known);
  if (!factory) return nullptr;
  auto info = std::make_unique<FactoryInfo>();
  info->name = name;
  if (const char* doc = gst_element_factory_get_metadata(factory, GST_ELEMENT_METADATA_DESCRIPTION))
    info->doc = doc;
  for (const GList* item = gst_element_factory_get_static_pad_templates(factory); item; item = item->next) {
    const auto* pad = static_cast<const GstStaticPadTemplate*>(item->data);
    if (pad->presence == GST_PAD_SOMETIMES) info->plugs_pads_later = true;
    if (pad->presence != GST_PAD_ALWAYS) continue;
    ++(pad->direction == GST_PAD_SINK ? info->static_inputs : info->static_outputs);
  }
  info->params = params_of(gst_element_factory_get_element_type(factory));
  gst_object_unref(factory);
  return info;
}

Status initialise() {
  GError* error = nullptr;
  if (gst_is_initialized() || gst_init_check(nullptr, nullptr, &error)) return {};
  const std::string why = error ? error->message : "unknown reason";
  g_clear_error(&error);
  return fail(ErrorCode::unavailable, "GStreamer cannot be used: {}", why);
}

}  // namespace

Result<const FactoryInfo*> factory_info(std::string_view name) {
  static std::mutex mutex;
  static std::map<std::string, std::unique_ptr<FactoryInfo>, std::less<>> known;
  if (auto status = initialise(); !status) return forward_error(status);
  const std::lock_guard lock(mutex);
  if (const auto found = known.find(name); found != known.end()) return found->second.get();
  auto info = look_up(std::string(name));
  if (!info) return fail(ErrorCode::not_found, "GStreamer has no element called {}", name);
  return known.emplace(name, std::move(info)).first->second.get();
}

std::vector<std::string> factory_names() {
  std::vector<std::string> names;
  if (!initialise()) return names;
  GList* factories = gst_registry_get_feature_list(gst_registry_get(), GST_TYPE_ELEMENT_FACTORY);
  for (const GList* item = factories; item; item = item->next)
    names.emplace_back(gst_plugin_feature_get_name(GST_PLUGIN_FEATURE(item->data)));
  gst_plugin_feature_list_free(factories);
  return names;
}

}  // namespace sightglass::gst
