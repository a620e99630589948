// Registers an element type: a leaf class of `parent` with the structs Class and Instance, made by
// class_init(klass, class_data).
#pragma once

#include <gst/gst.h>

#include <string>

namespace sightglass::gst {

template <class Class, class Instance>
bool register_element_type(GstPlugin* plugin, const std::string& name, GType parent,
                           GClassInitFunc class_init, gconstpointer class_data,
                           GInstanceInitFunc instance_init) {
  GTypeInfo info{};
  info.class_size = sizeof(Class);
  info.class_init = class_init;
  info.class_data = class_data;
  info.instance_size = sizeof(Instance);
  info.instance_init = instance_init;
  // Automatic element names come from the type's name without "Gst".
  const GType type = g_type_register_static(parent, ("Gst" + name).c_str(), &info, GTypeFlags(0));
  return type && gst_element_register(plugin, name.c_str(), GST_RANK_NONE, type);
}

}  // namespace sightglass::gst
