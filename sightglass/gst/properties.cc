#include "sightglass/gst/properties.h"

#include <algorithm>
#include <cfloat>
#include <string>

namespace sightglass::gst {
namespace {

// GParamSpec keeps the pointers, so the texts live as long as the process.
const char* forever(std::string_view text) { return g_intern_string(std::string(text).c_str()); }

GType enum_type(const ParamDesc& desc, std::string_view element) {
  std::string name = "SgEnum_" + std::string(element) + "_" + desc.name;
  std::ranges::replace(name, '-', '_');
  if (GType known = g_type_from_name(name.c_str())) return known;
  auto* values = g_new0(GEnumValue, desc.choice_names.size() + 1);  // owned by the type
  for (size_t i = 0; i < desc.choice_names.size(); ++i) {
    const char* nick = forever(desc.choice_names[i]);
    values[i] = {desc.choice_value(i), nick, nick};
  }
  return g_enum_register_static(forever(name), values);
}

GParamSpec* element_spec(const ParamDesc& desc, GParamFlags flags) {
  switch (desc.type) {
    case ParamType::integers:
      return g_param_spec_int64("value", "value", "value", G_MININT64, G_MAXINT64, 0, flags);
    case ParamType::numbers:
      return g_param_spec_double("value", "value", "value", -DBL_MAX, DBL_MAX, 0, flags);
    default:
      return g_param_spec_string("value", "value", "value", nullptr, flags);
  }
}

GParamSpec* make_spec(const ParamDesc& desc, std::string_view element) {
  const char* name = forever(desc.name);
  const char* doc = forever(desc.unit.empty() ? desc.doc : desc.doc + " [" + desc.unit + "]");
  const auto access = desc.is_readable_only ? int(G_PARAM_READABLE)
                                            : G_PARAM_READWRITE | (desc.is_live ? GST_PARAM_MUTABLE_PLAYING
                                                                                : GST_PARAM_MUTABLE_READY);
  const auto flags = GParamFlags(access | G_PARAM_STATIC_STRINGS);
  const auto integer = [&] { return std::get<int64_t>(desc.default_value); };
  const auto number = [&] { return std::get<double>(desc.default_value); };
  switch (desc.type) {
    case ParamType::boolean:
      return g_param_spec_boolean(name, name, doc, std::get<bool>(desc.default_value), flags);
    case ParamType::integer:
      return g_param_spec_int(name, name, doc, int(desc.min), int(desc.max), int(integer()), flags);
    case ParamType::unsigned_integer:
      return g_param_spec_uint(name, name, doc, unsigned(desc.min), unsigned(desc.max), unsigned(integer()),
                               flags);
    case ParamType::integer64:
      return g_param_spec_int64(
          name, name, doc, desc.min <= double(G_MININT64) ? G_MININT64 : int64_t(desc.min),
          desc.max >= double(G_MAXINT64) ? G_MAXINT64 : int64_t(desc.max), integer(), flags);
    case ParamType::number32:
      return g_param_spec_float(name, name, doc, float(std::max(desc.min, -double(FLT_MAX))),
                                float(std::min(desc.max, double(FLT_MAX))), float(number()), flags);
    case ParamType::number:
      return g_param_spec_double(name, name, doc, desc.min, desc.max, number(), flags);
    case ParamType::text:
      return g_param_spec_string(name, name, doc, forever(std::get<std::string>(desc.default_value)), flags);
    case ParamType::choice:
      return g_param_spec_enum(name, name, doc, enum_type(desc, element), int(integer()), flags);
    case ParamType::integers:
    case ParamType::numbers:
    case ParamType::texts:
      return gst_param_spec_array(name, name, doc, element_spec(desc, flags), flags);
    case ParamType::fraction: {
      const auto value = std::get<Fraction>(desc.default_value);
      const bool ratio = desc.max <= 1;
      return gst_param_spec_fraction(name, name, doc, 0, 1, ratio ? 1 : G_MAXINT, 1, value.num, value.den,
                                     flags);
    }
  }
  g_assert_not_reached();
}

template <class T, class Get>
std::vector<T> list_of(const GValue* array, Get get) {
  std::vector<T> list;
  for (guint i = 0; i < gst_value_array_get_size(array); ++i)
    list.push_back(get(gst_value_array_get_value(array, i)));
  return list;
}

template <class T>
void set_array(GValue* array, const std::vector<T>& list, GType type, void (*set)(GValue*, T)) {
  g_value_reset(array);
  for (const T& item : list) {
    GValue value = G_VALUE_INIT;
    g_value_init(&value, type);
    set(&value, item);
    gst_value_array_append_and_take_value(array, &value);
  }
}

}  // namespace

void install_properties(GObjectClass* klass, const ParamTable& table, std::string_view element,
                        guint first_id) {
  for (guint id = first_id; const ParamDesc& desc : table.params)
    g_object_class_install_property(klass, id++, make_spec(desc, element));
}

ParamValue from_gvalue(const ParamDesc& desc, const GValue* value) {
  switch (desc.type) {
    case ParamType::boolean:
      return bool(g_value_get_boolean(value));
    case ParamType::integer:
      return int64_t(g_value_get_int(value));
    case ParamType::unsigned_integer:
      return int64_t(g_value_get_uint(value));
    case ParamType::integer64:
      return int64_t(g_value_get_int64(value));
    case ParamType::number32:
      return double(g_value_get_float(value));
    case ParamType::number:
      return g_value_get_double(value);
    case ParamType::text: {
      const char* text = g_value_get_string(value);
      return std::string(text ? text : "");
    }
    case ParamType::choice:
      return int64_t(g_value_get_enum(value));
    case ParamType::integers:
      return list_of<int64_t>(value, [](const GValue* item) { return g_value_get_int64(item); });
    case ParamType::numbers:
      return list_of<double>(value, [](const GValue* item) { return g_value_get_double(item); });
    case ParamType::texts:
      return list_of<std::string>(value, [](const GValue* item) {
        const char* text = g_value_get_string(item);
        return std::string(text ? text : "");
      });
    case ParamType::fraction:
      return Fraction{gst_value_get_fraction_numerator(value), gst_value_get_fraction_denominator(value)};
  }
  g_assert_not_reached();
}

void to_gvalue(const ParamDesc& desc, const ParamValue& param, GValue* value) {
  switch (desc.type) {
    case ParamType::boolean:
      return g_value_set_boolean(value, std::get<bool>(param));
    case ParamType::integer:
      return g_value_set_int(value, int(std::get<int64_t>(param)));
    case ParamType::unsigned_integer:
      return g_value_set_uint(value, unsigned(std::get<int64_t>(param)));
    case ParamType::integer64:
      return g_value_set_int64(value, std::get<int64_t>(param));
    case ParamType::number32:
      return g_value_set_float(value, float(std::get<double>(param)));
    case ParamType::number:
      return g_value_set_double(value, std::get<double>(param));
    case ParamType::text:
      return g_value_set_string(value, std::get<std::string>(param).c_str());
    case ParamType::choice:
      return g_value_set_enum(value, int(std::get<int64_t>(param)));
    case ParamType::integers:
      return set_array<int64_t>(value, std::get<std::vector<int64_t>>(param), G_TYPE_INT64,
                                [](GValue* item, int64_t number) { g_value_set_int64(item, number); });
    case ParamType::numbers:
      return set_array<double>(value, std::get<std::vector<double>>(param), G_TYPE_DOUBLE,
                               g_value_set_double);
    case ParamType::texts:
      return set_array<std::string>(
          value, std::get<std::vector<std::string>>(param), G_TYPE_STRING,
          [](GValue* item, std::string text) { g_value_set_string(item, text.c_str()); });
    case ParamType::fraction: {
      const auto fraction = std::get<Fraction>(param);
      return gst_value_set_fraction(value, fraction.num, fraction.den);
    }
  }
}

}  // namespace sightglass::gst
