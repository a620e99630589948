#include "sightglass/cli/gst_setup.h"

#include <gst/gst.h>

#include <algorithm>
#include <cstdlib>

namespace sightglass::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* plugin_name = "sightglass";
constexpr const char* plugin_file = "libgstsightglass.so";

bool file_exists(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// Prepends the folder of the plug-in that belongs to this program, unless the user has named one.
void find_own_plugin() {
  const char* set = std::getenv("GST_PLUGIN_PATH");
  const std::string path = set ? set : "";
  for (size_t from = 0; from <= path.size();) {
    const size_t to = std::min(path.find(':', from), path.size());
    if (to > from && file_exists(fs::path(path.substr(from, to - from)) / plugin_file)) return;
    from = to + 1;
  }
  const fs::path base = program_folder().parent_path();
  for (const fs::path& folder : {base / "gstreamer-1.0", base / "lib" / "gstreamer-1.0"}) {
    if (!file_exists(folder / plugin_file)) continue;
    setenv("GST_PLUGIN_PATH", (folder.string() + (path.empty() ? "" : ":" + path)).c_str(), 1);
    return;
  }
}

std::vector<std::string> sorted_names(GList* features) {
  std::vector<std::string> names;
  for (GList* item = features; item; item = item->next)
    if (GST_IS_ELEMENT_FACTORY(item->data)) names.emplace_back(GST_OBJECT_NAME(item->data));
  gst_plugin_feature_list_free(features);
  std::ranges::sort(names);
  return names;
}

}  // namespace

fs::path program_folder() {
  std::error_code ignored;
  return fs::read_symlink("/proc/self/exe", ignored).parent_path();
}

Status init_gstreamer(Need need) {
  find_own_plugin();
  GError* error = nullptr;
  if (!gst_init_check(nullptr, nullptr, &error)) {
    const std::string reason = error ? error->message : "unknown reason";
    g_clear_error(&error);
    return fail(ErrorCode::unavailable, "GStreamer does not start: {}", reason);
  }
  if (need == Need::nothing) return {};
  auto* plugin = gst_registry_find_plugin(gst_registry_get(), plugin_name);
  if (!plugin) {
    return fail(ErrorCode::unavailable,
                "the GStreamer plug-in {} was not found; set GST_PLUGIN_PATH to its folder", plugin_file);
  }
  gst_object_unref(plugin);
  return {};
}

std::vector<std::string> plugin_elements() {
  return sorted_names(gst_registry_get_feature_list_by_plugin(gst_registry_get(), plugin_name));
}

std::vector<std::string> all_gst_elements() {
  return sorted_names(gst_registry_get_feature_list(gst_registry_get(), GST_TYPE_ELEMENT_FACTORY));
}

}  // namespace sightglass::cli
