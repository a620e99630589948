// The GStreamer plug-in: every transform of the registry, the joins and the bins.
#include <gst/gst.h>

#include "sightglass/core/registry.h"
#include "sightglass/elements/plugins.h"
#include "sightglass/gst/batch/batch_create.h"
#include "sightglass/gst/batch/batch_split.h"
#include "sightglass/gst/bins/process_bin.h"
#include "sightglass/gst/element.h"
#include "sightglass/gst/frame_meta.h"
#include "sightglass/gst/meta_aggregate.h"

namespace {

gboolean register_all(GstPlugin* plugin) {
  using namespace sightglass;
  gst::register_frame_metas();
  for (const auto& error : load_plugins()) g_warning("%s", error.message.c_str());
  gst_plugin_add_dependency_simple(plugin, "SIGHTGLASS_PLUGIN_PATH", nullptr, ".so",
                                   GST_PLUGIN_DEPENDENCY_FLAG_FILE_NAME_IS_SUFFIX);
  for (const auto* desc : all_elements()) {
    const bool wrapped = desc->kind == ElementKind::transform || desc->kind == ElementKind::transform_inplace;
    if (wrapped && !gst::register_element(plugin, *desc)) return FALSE;
  }
  if (!gst::register_bin(plugin, gst::processbin_desc())) return FALSE;
  for (const auto* bin : all_bins())
    if (!gst::register_bin(plugin, *bin)) return FALSE;
  return gst::register_meta_aggregate(plugin) && gst::register_batch_create(plugin) &&
         gst::register_batch_split(plugin);
}

}  // namespace

#define PACKAGE "sightglass"
GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, sightglass, "Streaming video analytics", register_all,
                  "0.1.0", "Apache 2.0", "Sightglass", "Sightglass")
