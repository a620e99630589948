#include "sightglass/module/queue_limits.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>

#include "sightglass/gst/each_element.h"

namespace sightglass::module {
namespace {

// Whether one of these properties is above 0, where 0 means no limit.
bool has_limit(GObject* object, std::initializer_list<const char*> properties) {
  return std::ranges::any_of(properties, [&](const char* name) {
    auto* spec = g_object_class_find_property(G_OBJECT_GET_CLASS(object), name);
    if (!spec) return false;
    GValue value = G_VALUE_INIT, number = G_VALUE_INIT;
    g_value_init(&value, spec->value_type);
    g_value_init(&number, G_TYPE_DOUBLE);
    g_object_get_property(object, name, &value);
    const bool limited = g_value_transform(&value, &number) && g_value_get_double(&number) > 0;
    g_value_unset(&value);
    g_value_unset(&number);
    return limited;
  });
}

}  // namespace

std::vector<std::string> unbounded_queues(GstBin* bin) {
  std::vector<std::string> names;
  gst::each_element(bin, [&](GstElement* element) {
    auto* factory = gst_element_get_factory(element);
    const std::string_view name = factory ? GST_OBJECT_NAME(factory) : "";
    auto* object = G_OBJECT(element);
    const bool is_queue = name == "queue" || name == "queue2" || name == "multiqueue";
    const bool is_end = name == "appsrc" || name == "appsink";
    if ((is_queue && !has_limit(object, {"max-size-buffers", "max-size-bytes", "max-size-time"})) ||
        (is_end && !has_limit(object, {"max-buffers", "max-bytes", "max-time"})))
      names.emplace_back(GST_OBJECT_NAME(element));
  });
  return names;
}

}  // namespace sightglass::module
